"""Keeps the bitmaps of large tenants: which rows are in which bucket, as of the figures' moment.

Their changes are gathered from the same log beside the statement that changes the figures, and
appended in its transaction; what they add to each bucket is compared with what was added to its
count. A tenant without bitmaps is counted by SQL, so that what cannot be kept is left out, never
wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, sql, statements
from crm_ops.fold import bit_changes, definition, making, planning, recount, rows
from crm_ops.fold.compaction import EVERYTHING, Place

_log = logging.getLogger(__name__)

Gathered = Iterable[Mapping[str, Any]]
"""What a batch of changes does to bitmaps, as `bit_changes.gather` returns it; a part at a time."""


Digests = Mapping[str, str | None]
"""By tenant the digest of what was added to its buckets, as in fold/bit_changes.py; None where some
row does not fit to what was known of it."""

_digests = msgspec.json.Decoder(list[tuple[str, str | None]]).decode


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
        try:
            yield lambda: _parts(*coming.result())
        finally:
            # After an error of the fold nobody has read it.
            if coming.exception() is None:
                coming.result()[0].close()


def _gather(
    connection: sa.Connection, counted: rows.Counted
) -> tuple[sa.CursorResult[Any], Sequence[sa.Row[Any]]]:
    """What was found, of which the first part is read: with it all are made."""
    recount.prepare(connection, counted)
    with planning.hashed(connection):
        found = sql.stream(connection, bit_changes.gather(counted), **_bound(counted))
        return found, found.fetchmany(1)


def _parts(found: sa.CursorResult[Any], first: Sequence[sa.Row[Any]]) -> Gathered:
    """All of it; the others wait in the server."""
    return (row._asdict() for row in chain(first, found))


def append(connection: sa.Connection, gathered: Gathered, *, as_of: datetime) -> Digests:
    """Write what was gathered."""
    digests: Digests = {}
    for row in gathered:
        if row["what"] == "digests":
            digests = dict(_digests(row["names"]))
        else:
            sql.run(connection, _load()[row["what"]], row, as_of=as_of)
    return digests


def differing(bits: Digests, counts: Digests) -> list[str]:
    """The tenants with bitmaps to which was added otherwise than to their counts."""
    return [tenant for tenant, digest in bits.items() if digest != counts.get(tenant, "0")]


def settle(
    connection: sa.Connection, counted: rows.Counted, unsound: Sequence[str], *, as_of: datetime
) -> None:
    """After the figures: make the bitmaps that are missing, and anew those of tenants `unsound`."""
    load, bound = _load(), _bound(counted)
    needless = list(sql.run(connection, load["needless"], bound).scalars())
    drop(connection, counted, needless)
    wanted = sql.run(connection, load["wanted"], bound).all()
    drop(connection, counted, [row.tenant for row in wanted if row.sparse])
    making.make(connection, counted, [row.tenant for row in wanted], as_of=as_of)
    again: set[str] = set()
    if unsound:
        # Those that are still searched with.
        sets = sql.run(connection, load["sets"], bound, tenants=list(unsound))
        again = {row.tenant for row in sets}
    for tenant in sorted(again):
        _log.error(
            "bitmaps of %s of tenant %s are not as the counts and are made anew",
            counted.name,
            tenant,
            extra={"action": "repair", "entity": counted.name, "tenant": tenant},
        )
    making.make(connection, counted, sorted(again), as_of=as_of)


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
    "Digests",
    "Gathered",
    "Place",
    "anew",
    "append",
    "differing",
    "drop",
    "gathering",
    "settle",
]
