"""Embedded PostgreSQL, Redis and Airflow for a fresh machine: `make run`, `crm-ops up`."""

from __future__ import annotations

__all__: list[str] = []
