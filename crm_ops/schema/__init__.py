"""Our own tables, in the schema `crm_ops`, and their migrations."""

from __future__ import annotations

__all__: list[str] = []
