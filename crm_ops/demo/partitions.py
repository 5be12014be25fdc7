"""Gives the demo's audit log its monthly partitions, in UTC."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from sqlalchemy import Connection

from crm_ops.base import sql

# More than the year that most keep, so that months have already expired.
_PAST_MONTHS = 16


def months(as_of: date) -> list[date]:
    """First days of the months that bound the partitions: 16 before `as_of`'s to the one after."""
    current = as_of.year * 12 + as_of.month - 1
    return [
        date(month // 12, month % 12 + 1, 1) for month in range(current - _PAST_MONTHS, current + 2)
    ]


def create(connection: Connection, as_of: date) -> None:
    """Create `crm.audit_log_pYYYYMM` for every month up to that of `as_of`."""
    for first, following in pairwise(months(as_of)):
        partition = sql.Relation("crm", f"audit_log_p{first:%Y%m}")
        sql.run(
            connection,
            f"CREATE TABLE {partition.quoted} PARTITION OF crm.audit_log"
            f" FOR VALUES FROM ({sql.literal(f'{first} 00:00+00')})"
            f" TO ({sql.literal(f'{following} 00:00+00')})",
        )


__all__ = ["create", "months"]
