"""The CRM as it is: its tenants, its tables, and what our role can see of them."""

from __future__ import annotations

__all__: list[str] = []
