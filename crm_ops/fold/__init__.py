"""Counts are a fold of the rows: rebuilt exactly, in one snapshot."""

from __future__ import annotations

__all__: list[str] = []
