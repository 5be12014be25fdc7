"""The audit log as a line through time: what is attached, detached, archived, dropped, and held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from crm_ops.audit import holds
from crm_ops.audit.holds import Hold
from crm_ops.audit.layout import Layout, Stored
from crm_ops.audit.stretch import BEGINNING, END
from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

State = Literal["attached", "restored", "detached", "exported", "verified", "archived", "dropped"]


@dataclass(frozen=True)
class Stage:
    """The table of one stretch of time, and how far it has come.

    `rows` is PostgreSQL's estimate while it is there, exact once it is gone (None: unknown).
    `bytes` are of the table with its indexes, or of its file. `holds` are the legal holds in force
    that may concern its rows, by their time alone.
    """

    name: str
    lower: datetime
    upper: datetime
    state: State
    rows: int | None
    bytes: int
    holds: tuple[int, ...]


def read(connection: sa.Connection, policy: Audit, found: Layout) -> tuple[Stage, ...]:
    """The stages of `found` and of what was dropped before, the oldest first."""
    log = Relation.parse(policy.table)
    statement = statements.load("crm_ops.audit", "timeline.sql")["gone"]
    gone = sql.run(connection, statement, schema=log.schema, name=log.name).all()
    inforce = holds.read(connection, policy)
    there = [
        *(_stage(each, each.state or "attached", inforce) for each in found.partitions),
        *(_stage(each, each.state or "detached", inforce) for each in found.detached),
    ]
    # What was restored, and what takes new rows of an old month, is no longer gone.
    taken = {(each.lower, each.upper) for each in there}
    past = [
        Stage(
            name=row.name,
            lower=row.lower,
            upper=row.upper,
            state="dropped" if row.file_bytes is None else "archived",
            rows=row.rows,
            bytes=row.file_bytes or 0,
            holds=(),
        )
        for row in gone
        if (row.lower, row.upper) not in taken
    ]
    return tuple(sorted([*past, *there], key=lambda each: (each.lower, each.name)))


def _stage(stored: Stored, state: State, inforce: Sequence[Hold]) -> Stage:
    lower, upper = stored.stretch.lower, stored.stretch.upper
    return Stage(
        name=str(stored.table),
        lower=lower,
        upper=upper,
        state=state,
        rows=stored.rows,
        bytes=stored.bytes,
        holds=tuple(_concerning(inforce, lower, upper)),
    )


def _concerning(inforce: Iterable[Hold], lower: datetime, upper: datetime) -> Iterable[int]:
    for hold in inforce:
        if (hold.lower or BEGINNING) < upper and lower < (hold.upper or END):
            yield hold.id


__all__ = ["Stage", "State", "read"]
