"""The four jobs, their one registry, their ledger."""

from __future__ import annotations

__all__: list[str] = []
