"""Results out to Redis: one whole value for each tenant and kind of figure."""

from __future__ import annotations

__all__: list[str] = []
