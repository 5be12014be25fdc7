"""Fills the demo's tables with rows that depend on nothing but the size and the day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date

from sqlalchemy import Connection

from crm_ops.base import sql, statements
from crm_ops.demo import partitions
from crm_ops.demo.sizes import Size

Progress = Callable[[str, int, int], None]

# About a second of work: shows progress, and what a killed process left running is over before the
# next one has waited for its lock too long.
_BATCH = 100_000
_WITHOUT_ID = ("team_member", "lead_tag")


def tables(
    connection: Connection, *, size: Size, as_of: date, progress: Progress
) -> dict[str, int]:
    """Fill the empty tables, one transaction per batch; rows by table.

    Needs a session of its own: it leaves temporary functions and a temporary table in it.
    `progress` is told a table, and how many of the numbers that drive it are done, of how many.
    """
    months = partitions.months(as_of)
    values: dict[str, object] = {
        **asdict(size),
        "as_of": as_of,
        "first_month": months[0],
        "next_month": months[-1],
        "shared": _shared_records(size),
    }
    with connection.begin():
        for statement in statements.load("crm_ops.demo", "sql/session.sql").values():
            sql.run(connection, statement, values)
        values["shares"] = sql.run(
            connection, "SELECT array_agg(share_from ORDER BY id) FROM pg_temp.tenant"
        ).scalar_one()
    return {
        table: _fill(connection, table, numbers, values, progress)
        for table, numbers in _driven_by(size).items()
    }


def _driven_by(size: Size) -> dict[str, int]:
    """How many numbers drive each table, in the order of the fills: a parent comes first."""
    return {
        "company": size.companies,
        "role": size.companies,
        "app_user": size.companies,
        "team": size.companies,
        "team_member": size.companies,
        "tag": size.companies,
        "account": size.accounts,
        "contact": size.contacts,
        "lead": size.leads,
        "lead_tag": size.leads,
        "deal": size.deals,
        "sharing_rule": size.companies,
        "record_share": _shared_records(size),
        "audit_log": size.audit_rows,
    }


def _shared_records(size: Size) -> int:
    return size.leads // 20


def _fill(
    connection: Connection,
    table: str,
    numbers: int,
    values: Mapping[str, object],
    progress: Progress,
) -> int:
    statement = statements.load("crm_ops.demo", "sql/rows.sql")[table]
    rows = 0
    for first in range(1, numbers + 1, _BATCH):
        last = min(first + _BATCH - 1, numbers)
        with connection.begin():
            rows += sql.run(connection, statement, values, first=first, last=last).rowcount
        progress(table, last, numbers)
    if table not in _WITHOUT_ID:
        _continue_ids(connection, sql.Relation("crm", table))
    return rows


def _continue_ids(connection: Connection, table: sql.Relation) -> None:
    """Let the next plain INSERT take the id after the last one."""
    with connection.begin():
        sql.run(
            connection,
            f"SELECT setval(pg_get_serial_sequence(%(table)s, 'id'), max(id)) FROM {table.quoted}",
            table=table.quoted,
        )


__all__ = ["Progress", "tables"]
