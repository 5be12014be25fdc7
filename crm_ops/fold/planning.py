"""How statements are planned on tables of which the statistics know nothing yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from crm_ops.base import sql

APART = "WITH apart AS (SELECT)"
"""Before the SELECT of a subquery: it is planned by itself, never as a part of what is around it.

Else the planner takes keys that are computed from a nearly unique column for as many: it expects
hash tables of all rows, and sorts where they would not fit. `OFFSET 0` has the same effect but
forbids parallel workers.
"""


@contextmanager
def hashed(connection: sa.Connection) -> Iterator[None]:
    """Joins are hashed: a loop is cheap where one row is expected, and endless where many come."""
    before = sql.run(
        connection,
        "SELECT before, set_config('enable_nestloop', 'off', true)"
        " FROM (SELECT current_setting('enable_nestloop') AS before OFFSET 0) AS setting",
    ).one()
    yield
    sql.run(
        connection,
        "SELECT set_config('enable_nestloop', %(before)s, true)",
        before=before.before,
    )


__all__ = ["APART", "hashed"]
