"""CRM Ops keeps a CRM's facet counts, report aggregates, audit log and caches exact and fast."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
