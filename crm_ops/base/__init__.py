"""The ground floor: errors, settings, results, names, SQL, PostgreSQL, Redis. It knows no CRM."""

from __future__ import annotations

__all__: list[str] = []
