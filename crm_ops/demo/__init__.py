"""The demo CRM: the schema `crm`, made and filled the same way every time."""

from __future__ import annotations

__all__: list[str] = []
