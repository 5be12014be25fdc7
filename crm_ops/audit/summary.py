"""The audit log at a glance: partitions, sizes, what waits in DEFAULT, and the runway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crm_ops.audit import stretch
from crm_ops.audit.layout import Layout


@dataclass(frozen=True)
class Summary:
    """Figures of one audit log.

    `partitions` and `bytes` (with indexes) are of what is attached, DEFAULT included; `rows` is
    PostgreSQL's estimate for the months, `default_rows` counted. `detached` tables are ours and
    wait for their end. `runway_days` are the days ahead that have a partition without a gap.
    """

    table: str
    partitions: int
    bytes: int
    rows: int
    default_rows: int
    detached: int
    detached_bytes: int
    runway_days: int


def of(layout: Layout, now: datetime) -> Summary:
    """The figures of `layout`, with the runway from `now`."""
    standing = [each for each in layout.partitions if not each.pending]
    default = layout.default
    return Summary(
        table=str(layout.parent.table),
        partitions=len(standing) + (default is not None),
        bytes=sum(each.bytes for each in standing) + (default.bytes if default else 0),
        rows=sum(each.rows for each in standing),
        default_rows=default.rows if default else 0,
        detached=len(layout.detached),
        detached_bytes=sum(each.bytes for each in layout.detached),
        runway_days=stretch.unbroken_days((each.stretch for each in standing), now),
    )


__all__ = ["Summary", "of"]
