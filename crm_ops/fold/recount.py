"""Counts tenants' figures anew inside a snapshot: all of them, or some facets or aggregates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.base.names import AGGREGATE
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.fold import aggregates, definition, facets, planning, replacement, rows
from crm_ops.fold.definition import Kind


@dataclass(frozen=True)
class Counts:
    """Rows seen and figures that had to be written."""

    seen: int
    written: int


class TooMany(Exception):
    """A facet of some tenants has more values than allowed; `failures` says why, by tenant."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        self.failures = failures
        super().__init__()


def prepare(connection: sa.Connection, counted: rows.Counted) -> datetime:
    """Set how this transaction plans and waits; return the moment of its snapshot.

    The planner takes computed keys for unique and would sort, which takes twice as long as hashing.
    What is published must not be lost by a crash, however the server is set. A transaction may have
    to wait as long for what another connection reads for it.
    """
    row = sql.run(
        connection,
        "SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true),"
        " set_config('cursor_tuple_fraction', '1', true), set_config('work_mem', '32MB', true),"
        " set_config('synchronous_commit', 'on', true),"
        " set_config('statement_timeout', %(timeout)s, true),"
        " set_config('idle_in_transaction_session_timeout', %(timeout)s, true),"
        " statement_timestamp() AS as_of",
        timeout=f"{counted.catalog.limits.statement_timeout_seconds}s",
    ).one()
    as_of: datetime = row.as_of
    return as_of


def within(
    connection: sa.Connection,
    counted: rows.Counted,
    kind: Kind,
    tenants: Sequence[str],
    *,
    as_of: datetime,
    captured: bool,
    only: Collection[str] | None = None,
) -> Counts:
    """Make the figures of `tenants` equal a count of the rows in this snapshot.

    `only` names the facets or aggregates to count; None means all. Raises `TooMany` where a
    facet of a tenant has too many values; the transaction must then be given up.
    """
    made_with = definition.of(counted, kind)
    definition.remember(connection, made_with)
    bound: list[str] | None
    if kind == "aggregates":
        names = list(only or ())
        if only is None:
            names = [*made_with.parts, *_declared_before(connection, counted, tenants)]
        _drop_others(connection, [name for name in names if name not in made_with.parts], tenants)
        reduced = counted if only is None else _only_aggregates(counted, names)
        fresh, bound = aggregates.recount(reduced), names
    else:
        reduced = counted if only is None else _only_facets(counted, only)
        fresh = facets.recount(reduced)
        bound = None if only is None else ["", *only]
    values: dict[str, object] = {
        kind: bound,
        "entity": counted.name,
        "limit": counted.catalog.limits.distinct_values_per_facet,
        "as_of": as_of,
        "definition": made_with.id,
        "captured": captured,
    }
    seen = written = 0
    for group in visible(connection, counted, tenants):
        made = f"CREATE TEMPORARY TABLE {replacement.FRESH} ON COMMIT DROP AS"
        sql.run(connection, f"{made} {fresh}", tenants=group)
        with planning.hashed(connection):
            found = _replaced(connection, counted, kind, {**values, "tenants": group})
        sql.run(connection, f"DROP TABLE {replacement.FRESH}")
        seen, written = seen + found.seen, written + found.written
    return Counts(seen, written)


def _replaced(
    connection: sa.Connection, counted: rows.Counted, kind: Kind, values: Mapping[str, object]
) -> Counts:
    """Replace stored figures by those in the table `FRESH`."""
    made = replacement.of(kind)
    row = sql.run(connection, made.seen, values).one()
    if row.over:
        limit = counted.catalog.limits.distinct_values_per_facet
        raise TooMany(_reasons(row.over, counted.name, limit))
    sql.run(connection, made.noted, values)
    gone = sql.run(connection, made.gone, values).rowcount
    kept = sql.run(connection, made.kept, values).rowcount
    return Counts(int(row.seen), gone + kept)


def visible(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]
) -> Iterator[list[str]]:
    """The tenants whose rows can be seen together: all, or one where row-level security asks."""
    tenancy = counted.catalog.tenancy
    if not isinstance(tenancy, ColumnTenancy) or tenancy.setting is None:
        yield list(tenants)
        return
    for tenant in tenants:
        sql.run(
            connection,
            "SELECT set_config(%(setting)s, %(tenant)s, true)",
            setting=tenancy.setting,
            tenant=tenant,
        )
        yield [tenant]


def _declared_before(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]
) -> list[str]:
    """The aggregates that the figures of `tenants` were made with."""
    statement = statements.load("crm_ops.fold")["declared_before"]
    return list(
        sql.run(connection, statement, entity=counted.name, tenants=list(tenants)).scalars()
    )


def _drop_others(connection: sa.Connection, names: Sequence[str], tenants: Sequence[str]) -> None:
    """Delete what the catalog declares no more."""
    if names:
        sql.run(
            connection,
            f"DELETE FROM {AGGREGATE.quoted} WHERE aggregate = ANY(%(names)s::text[])"
            " AND tenant = ANY(%(tenants)s::text[])",
            names=list(names),
            tenants=list(tenants),
        )


def _only_facets(counted: rows.Counted, names: Collection[str]) -> rows.Counted:
    kept = {name: each for name, each in counted.entity.facets.items() if name in names}
    entity = counted.entity.model_copy(update={"facets": kept})
    entities = {**counted.catalog.entities, counted.name: entity}
    return replace(counted, catalog=counted.catalog.model_copy(update={"entities": entities}))


def _only_aggregates(counted: rows.Counted, names: Collection[str]) -> rows.Counted:
    kept = {name: each for name, each in counted.catalog.aggregates.items() if name in names}
    return replace(counted, catalog=counted.catalog.model_copy(update={"aggregates": kept}))


def _reasons(over: Sequence[tuple[str, str, int]], entity: str, limit: int) -> dict[str, str]:
    return {
        tenant: (
            f"{entity}.{name} has {buckets:,} distinct values, more than the {limit:,} that"
            " limits.distinct_values_per_facet allows; raise it, or take the facet out"
        )
        for tenant, name, buckets in over
    }


__all__ = ["Counts", "TooMany", "prepare", "visible", "within"]
