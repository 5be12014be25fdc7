"""Who may see what: the sharing rules of each tenant."""

from __future__ import annotations

__all__: list[str] = []
