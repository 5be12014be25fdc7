"""How many rows a demo CRM holds.

The small tables (roles, users, teams, tags, rules, shares) follow from these figures.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Rows per table; `users` is shared out over the companies, of which each has at least 5."""

    name: str
    companies: int
    users: int
    accounts: int
    contacts: int
    leads: int
    deals: int
    audit_rows: int


SMALL = Size(
    name="small",
    companies=40,
    users=400,
    accounts=3_000,
    contacts=6_000,
    leads=10_000,
    deals=5_000,
    audit_rows=8_000,
)
MEDIUM = Size(
    name="medium",
    companies=100,
    users=2_000,
    accounts=120_000,
    contacts=300_000,
    leads=1_000_000,
    deals=250_000,
    audit_rows=600_000,
)
LARGE = Size(
    name="large",
    companies=200,
    users=8_000,
    accounts=600_000,
    contacts=1_500_000,
    leads=5_000_000,
    deals=1_250_000,
    audit_rows=3_000_000,
)

SIZES = {size.name: size for size in (SMALL, MEDIUM, LARGE)}

__all__ = ["LARGE", "MEDIUM", "SIZES", "SMALL", "Size"]
