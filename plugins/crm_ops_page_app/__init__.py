"""The page "CRM Ops": it shows the ledger, the figures and the audit log, and writes nothing."""

from __future__ import annotations

__all__: list[str] = []
