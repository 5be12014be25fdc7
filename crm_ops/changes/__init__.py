"""The signed change log: what is captured, by which triggers, and whether it can be trusted."""

from __future__ import annotations

__all__: list[str] = []
