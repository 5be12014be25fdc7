"""Keeps the bitmaps of large tenants: which rows are in which bucket, as of the figures' moment.

Their changes are gathered from the same log beside the statement that changes the figures, and
appended in its transaction; a bucket has as many rows as its count says, which is looked at after
every fold. A tenant without bitmaps is counted by SQL, so that what cannot be kept is left out,
never wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, sql, statements
from crm_ops.fold import bit_changes, compaction, definition, making, recount, rows
from crm_ops.fold.compaction import Place

_log = logging.getLogger(__name__)

EVERYTHING: Place = ("", None)


Gathered = Iterable[Mapping[str, Any]]
"""What a batch of changes does to bitmaps, as `bit_changes.gather` returns it; a part at a time."""


@dataclass(frozen=True)
class Appended:
    """The sets that changed, and, as PostgreSQL writes an array, those in doubt."""

    sets: tuple[int, ...] = ()
    doubted: str = "{}"


@contextmanager
def gathering(connection: sa.Connection, counted: rows.Counted) -> Iterator[Callable[[], Gathered]]:
    """Gather what the log of the snapshot changes while the caller folds it; the call waits for it.

    By another connection that sees the same. Where there is none, before the caller goes on.
    """
    if not sql.run(connection, _load()["folded"], _bound(counted)).scalar_one():
        yield lambda: ()
        return
    with database.beside(connection) as other, ThreadPoolExecutor(1) as thread:
        coming = thread.submit(_gather, other, counted)
        if other is connection:
            coming.result()
        yield coming.result


def _gather(connection: sa.Connection, counted: rows.Counted) -> Gathered:
    recount.prepare(connection, counted)
    found = sql.stream(connection, bit_changes.gather(counted), **_bound(counted))
    # With the first part all are made; the others wait in the server.
    first = found.fetchmany(1)
    return (row._asdict() for row in chain(first, found))


def append(connection: sa.Connection, gathered: Gathered, *, as_of: datetime) -> Appended:
    """Write what was gathered."""
    sets: set[int] = set()
    doubted = "{}"
    for row in gathered:
        if row["what"] == "doubted":
            doubted = row["sets"]
            continue
        written = sql.run(connection, _load()[row["what"]], row, as_of=as_of)
        if row["what"] == "changed":
            sets.update(written.scalars())
    return Appended(tuple(sets), doubted)


def settle(
    connection: sa.Connection, counted: rows.Counted, changed: Appended, *, as_of: datetime
) -> None:
    """After the figures: make what is missing, and anew what is not sound; compact what is due."""
    load, bound = _load(), _bound(counted)
    needless = list(sql.run(connection, load["needless"], bound).scalars())
    drop(connection, counted, needless)
    wanted = sql.run(connection, load["wanted"], bound).all()
    drop(connection, counted, [row.tenant for row in wanted if row.sparse])
    making.make(connection, counted, [row.tenant for row in wanted], as_of=as_of)
    facets = ["", *counted.entity.facets]
    sets = list(changed.sets)
    unsound = sql.run(
        connection, load["unsound"], sets=sets, doubted=changed.doubted, facets=facets
    )
    again = list(unsound.scalars()) if sets else []
    again += compaction.compact(connection, counted)
    for tenant in sorted(set(again)):
        _log.error(
            "bitmaps of %s of tenant %s are not as the counts and are made anew",
            counted.name,
            tenant,
            extra={"action": "repair", "entity": counted.name, "tenant": tenant},
        )
    making.make(connection, counted, sorted(set(again)), as_of=as_of)


def anew(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str], *, as_of: datetime
) -> None:
    """Make the bitmaps of those of `tenants` that are large, after their figures were counted."""
    large = sql.run(connection, _load()["large"], _bound(counted), tenants=list(tenants)).all()
    kept = {row.tenant for row in large if not row.sparse}
    drop(connection, counted, [tenant for tenant in tenants if tenant not in kept])
    making.make(connection, counted, [row.tenant for row in large], as_of=as_of)


def drop(connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]) -> None:
    """Forget the bitmaps of tenants."""
    if tenants:
        sql.run(connection, _load()["drop"], entity=counted.name, tenants=list(tenants))


def _bound(counted: rows.Counted) -> dict[str, object]:
    return {
        "entity": counted.name,
        "definition": definition.of(counted, "facets").id,
        "from_rows": counted.catalog.limits.bitmaps_from_rows,
    }


def _load() -> Mapping[str, str]:
    return statements.load("crm_ops.fold", "bitmaps.sql")


__all__ = [
    "EVERYTHING",
    "Appended",
    "Gathered",
    "Place",
    "anew",
    "append",
    "drop",
    "gathering",
    "settle",
]
