"""Alerts: what is wrong, whether people were told, and that it is over."""

from __future__ import annotations

__all__: list[str] = []
