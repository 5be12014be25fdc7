"""What a request of the CRM calls: search, reports, access."""

from __future__ import annotations

__all__: list[str] = []
