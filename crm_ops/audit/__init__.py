"""Partitions of the audit log: created ahead, retired when expired."""

from __future__ import annotations

__all__: list[str] = []
