"""How the last runs of each job went: what a line says better than a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry

# As many as a small line can show apart.
MOST = 40


@dataclass(frozen=True)
class Point:
    """One run; `took_ms` is None while it runs, and of one that was killed."""

    id: int
    state: Literal["running", "success", "partial", "failed"]
    started_at: datetime
    took_ms: int | None
    rows_seen: int
    figures_written: int
    dry_run: bool


def read(connection: sa.Connection) -> Mapping[JobName, tuple[Point, ...]]:
    """The last runs of each job, the oldest first; none where it never ran."""
    rows = sql.run(
        connection,
        statements.load("crm_ops.jobs")["trend"],
        jobs=list(registry.JOBS),
        most=MOST,
    ).mappings()
    points: dict[JobName, list[Point]] = {name: [] for name in registry.JOBS}
    for row in rows:
        fields = dict(row)
        points[fields.pop("job")].append(Point(**fields))
    return {name: tuple(found) for name, found in points.items()}


__all__ = ["MOST", "Point", "read"]
