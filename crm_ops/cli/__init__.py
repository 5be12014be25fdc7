"""The command line: one function for each command."""

from __future__ import annotations

__all__: list[str] = []
