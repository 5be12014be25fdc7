"""Makes the stored figures of some tenants equal a count of the rows: exact, and safe to repeat.

One transaction for each group of tenants: locks first, then a snapshot, whose moment is `as_of`.
Where changes are captured, the same snapshot takes the tenants' changes out of the log and makes
both kinds of figures, so that later changes can be folded into either. Rebuilds of different
tenants run beside each other, except where links changed of a row that moved between a tenant and
another: then all changes are folded first. Readers and writers of the CRM wait for nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.base.names import AGGREGATE, BITMAP_SET, FACET_COUNT, REFRESH
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.changes import state as changes
from crm_ops.changes.state import State
from crm_ops.fold import bitmaps, definition, drain, links, recount, refresh, rows
from crm_ops.fold.definition import Kind

_log = logging.getLogger(__name__)

# Two snapshots may meet where groups overlap; the second then tries again, on what the first left.
_TRIES = 4
# From so many new figures on PostgreSQL would plan the next fold by what the tables were before.
_WORTH_ANALYZING = 10_000


@dataclass(frozen=True)
class Rebuilt:
    """What was counted: rows seen, figures that had to be written, and tenants that failed, why."""

    rows_seen: int
    figures_written: int
    tenants: tuple[str, ...]
    failures: Mapping[str, str] = field(default_factory=dict)


def facet_counts(
    engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str], *, dry_run: bool = False
) -> Rebuilt:
    """Rebuild an entity's facet counts."""
    return _each_group(engine, counted, "facets", tenants, dry_run=dry_run)


def aggregate_figures(
    engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str], *, dry_run: bool = False
) -> Rebuilt:
    """Rebuild the figures of all aggregates of an entity."""
    return _each_group(engine, counted, "aggregates", tenants, dry_run=dry_run)


def _each_group(
    engine: sa.Engine, counted: rows.Counted, kind: Kind, tenants: Sequence[str], *, dry_run: bool
) -> Rebuilt:
    """Count all tenants at once; where the data of one is wrong, find it and count the others.

    Under row-level security by tenant each is counted by itself: the setting names one at a time.
    """
    tenancy = counted.catalog.tenancy
    alone = isinstance(tenancy, ColumnTenancy) and tenancy.setting is not None
    groups = [[tenant] for tenant in tenants] if alone else [list(tenants)]
    seen = written = 0
    finished: list[str] = []
    failures: dict[str, str] = {}
    while groups:
        group = groups.pop()
        if not group:
            continue
        try:
            found = _patiently(engine, counted, kind, group, dry_run=dry_run)
        except recount.TooMany as error:
            failures.update(error.failures)
            groups.append([tenant for tenant in group if tenant not in error.failures])
            continue
        except errors.DataError as error:
            if len(group) > 1:
                middle = len(group) // 2
                groups += [group[:middle], group[middle:]]
            else:
                failures[group[0]] = str(error)
                _log.warning("tenant %s: %s", group[0], error, extra={"action": "tenant_failed"})
            continue
        seen, written = seen + found.seen, written + found.written
        finished += group
    if written >= _WORTH_ANALYZING and not dry_run:
        _analyze(engine)
    return Rebuilt(seen, written, tuple(finished), failures)


def _analyze(engine: sa.Engine) -> None:
    """Have the tables of figures looked at, as autovacuum will later; not where it is at it."""
    tables = ", ".join(each.quoted for each in (REFRESH, FACET_COUNT, AGGREGATE, BITMAP_SET))
    with database.autocommit(engine) as connection:
        sql.run(connection, f"ANALYZE (SKIP_LOCKED) {tables}")


def _patiently(
    engine: sa.Engine, counted: rows.Counted, kind: Kind, group: Sequence[str], *, dry_run: bool
) -> recount.Counts:
    for _ in range(_TRIES - 1):
        try:
            return _count(engine, counted, kind, group, dry_run=dry_run)
        except errors.DatabaseBusy as error:
            if not isinstance(error.__cause__, sa.exc.OperationalError):
                raise
    return _count(engine, counted, kind, group, dry_run=dry_run)


class _Shared(Exception):
    """A changed link is one of the tenants', and also another's."""


def _count(
    engine: sa.Engine, counted: rows.Counted, kind: Kind, group: Sequence[str], *, dry_run: bool
) -> recount.Counts:
    """Count beside others; alone where that would not be exact."""
    try:
        return _counted(engine, counted, kind, group, alone=False, dry_run=dry_run)
    except _Shared:
        return _counted(engine, counted, kind, group, alone=True, dry_run=dry_run)


def _counted(
    engine: sa.Engine,
    counted: rows.Counted,
    kind: Kind,
    group: Sequence[str],
    *,
    alone: bool,
    dry_run: bool,
) -> recount.Counts:
    locks = [
        refresh.entity_lock(counted, shared=not alone),
        # Batches are cut alike: two of the same tenants have the same first one.
        database.Lock(f"rebuild:{counted.name}:{group[0]}"),
    ]
    wait_s = counted.catalog.limits.statement_timeout_seconds
    still = rows.tables(counted)
    with database.snapshot(
        engine, *locks, wait_s=wait_s, keep=not dry_run, still=still
    ) as connection:
        as_of = recount.prepare(connection, counted)
        state = changes.read(connection, counted.catalog, counted.name)
        captured = state.unusable is None
        if captured and alone and state.spoiled is None:
            drain.within(connection, counted, state, as_of=as_of)
        elif captured and not alone:
            _take(connection, counted, state, group)
        counts: dict[Kind, recount.Counts] = {
            each: recount.within(connection, counted, each, group, as_of=as_of, captured=captured)
            for each in definition.KINDS
            if captured or each == kind
        }
        if captured:
            bitmaps.anew(connection, counted, group, as_of=as_of)
        else:
            bitmaps.drop(connection, counted, group)
        return counts[kind]


def _take(
    connection: sa.Connection, counted: rows.Counted, state: State, group: Sequence[str]
) -> None:
    """Take out of the logs what the rows of `group`, which are counted next, hold already."""
    own, *linked = (log.relation.quoted for log in state.logs)
    for (_, facet), log in zip(links.of_entity(counted), linked, strict=True):
        statement = links.taken(counted, facet, own, log)
        if sql.run(connection, statement, tenants=list(group)).scalar_one():
            raise _Shared
    sql.run(
        connection,
        f"DELETE FROM {own} AS r WHERE {rows.tenant(counted)} = ANY(%(tenants)s::text[])",
        tenants=list(group),
    )


__all__ = ["Rebuilt", "aggregate_figures", "facet_counts"]
