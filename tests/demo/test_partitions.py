"""The demo's audit log has a partition for each of the past 16 months and the current one."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import sql, statements
from crm_ops.demo import partitions


def test_the_months_run_from_16_before_to_the_one_after() -> None:
    months = partitions.months(date(2026, 1, 20))
    assert (months[0], months[-1]) == (date(2024, 9, 1), date(2026, 2, 1))


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2100, 12, 31)))
def test_no_month_is_missing_whatever_the_day(as_of: date) -> None:
    months = partitions.months(as_of)
    assert len(months) == 18
    assert months[-2] == as_of.replace(day=1)
    assert all(28 <= (after - month).days <= 31 for month, after in pairwise(months))


def test_partitions_begin_and_end_at_midnight_utc(database: sa.Engine) -> None:
    tables = statements.load("crm_ops.demo", "sql/tables.sql")
    with database.begin() as connection:
        sql.run(connection, "SET LOCAL TimeZone = 'America/New_York'")
        sql.run(connection, "CREATE SCHEMA crm")
        sql.run(connection, tables["audit_log"])
        partitions.create(connection, date(2024, 2, 29))
        sql.run(connection, "SET LOCAL TimeZone = 'UTC'")
        bounds = sql.run(
            connection,
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %(name)s",
            name="audit_log_p202402",
        ).scalar_one()
    assert bounds == ("FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')")
