"""Cases: the full precomputation of facet counts and of aggregates.

The old way is one GROUP BY query for each facet, one count query for each bucket of a range, and
one count for each facet's total: for all tenants at once, and, as the old system did it, for one
tenant after another, which is measured once. The peer is REFRESH MATERIALIZED VIEW CONCURRENTLY of
the same counts. The floor reads the columns that are counted, and does nothing with them. What each
makes is stored: the old way's in Redis, the peer's in its view, ours in our tables and in Redis.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from bench import fifty
from bench.case import OURS, Case
from bench.setup import Setup
from crm_ops.base import database, names, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.facets import DateFacet, Facet, RangesFacet
from crm_ops.changes import install
from crm_ops.fold import aggregates as declared
from crm_ops.fold import rebuild
from crm_ops.fold.rows import Counted
from crm_ops.publish import aggregates, facets

OLD = "old way, all tenants at once"
OLD_BY_TENANT = "old way, tenant by tenant"

_KEPT = "deleted_at IS NULL"


def run(setup: Setup) -> None:
    """Measure leads and deals; without captured changes each kind of figures is made by itself."""
    with fifty.up(setup) as own:
        with database.transaction(own.engine) as connection:
            steps = install.removal(connection)
        install.apply(own.engine, steps)
        report = own.report("counting", "Counting from scratch", __doc__)
        for name in ("lead", "deal"):
            entity = counted(own.engine, own.catalog, name)
            for case in (facet_case, aggregate_case):
                report.case(case(own.engine, own.redis, entity, own.tenants), own.rounds)


def facet_case(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]
) -> Case:
    """Full facet counts of one entity."""
    groups = _groups(counted)
    view = facets_view(engine, counted)
    queries = _old_facets(counted)

    def ours() -> None:
        _forget(engine, names.FACET_COUNT)
        rebuild.facet_counts(engine, counted, tenants)
        facets.publish(engine, redis, counted.name, counted.entity, tenants, now=datetime.now(UTC))

    return Case(
        f"facet counts of {counted.name}, from scratch",
        f"{len(groups)} facets, {len(tenants)} tenants",
        {
            OLD: lambda: _ask(engine, redis, queries, [None]),
            OLD_BY_TENANT: lambda: _ask(engine, redis, queries, tenants),
            "materialized view": lambda: refresh_view(engine, view),
            OURS: ours,
            "floor (read the columns)": lambda: _read(engine, counted, groups.values()),
        },
        once=frozenset({OLD_BY_TENANT}),
    )


def aggregate_case(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]
) -> Case:
    """Full figures of all aggregates of one entity."""
    wanted = declared.of_entity(counted)
    splits = counted.entity.splits()
    queries = _old_aggregates(counted)
    columns = sorted(
        {_group(splits[each]) for aggregate in wanted.values() for each in aggregate.by}
    )
    views = [
        _view(engine, f"bench_{name}", query.format(kept=_KEPT)) for name, query in queries.items()
    ]

    def ours() -> None:
        _forget(engine, names.AGGREGATE)
        rebuild.aggregate_figures(engine, counted, tenants)
        parts = [(name, tenant) for name in wanted for tenant in tenants]
        aggregates.publish(engine, redis, counted.name, parts, now=datetime.now(UTC))

    def peer() -> None:
        for view in views:
            refresh_view(engine, view)

    return Case(
        f"aggregates of {counted.name}, from scratch",
        f"{len(wanted)} aggregates, {len(tenants)} tenants",
        {
            OLD: lambda: _ask(engine, redis, queries, [None]),
            OLD_BY_TENANT: lambda: _ask(engine, redis, queries, tenants),
            "materialized view": peer,
            OURS: ours,
            "floor (read the columns)": lambda: _read(engine, counted, columns),
        },
        once=frozenset({OLD_BY_TENANT}),
    )


def old_way(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: Sequence[str | None]
) -> Callable[[], object]:
    """All queries of the old way for an entity, facets and aggregates; None is all tenants."""
    queries = {**_old_facets(counted), **_old_aggregates(counted)}
    return lambda: _ask(engine, redis, queries, tenants)


def facets_view(engine: sa.Engine, counted: Counted) -> str:
    """A materialized view of an entity's facet counts, by its quoted name."""
    return _view(engine, "bench_facets", _union(counted, _groups(counted)))


def refresh_view(engine: sa.Engine, view: str) -> None:
    """Bring a materialized view up to date beside its readers."""
    with database.transaction(engine) as connection:
        sql.run(connection, f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}")


def _old_facets(counted: Counted) -> dict[str, str]:
    """The queries of facets, by the name of what they find; `{kept}` is which rows count."""
    queries: dict[str, str] = {}
    table, groups = counted.table.quoted, _groups(counted)
    for name, facet in counted.entity.facets.items():
        total = f"SELECT company_id, count(*) FROM {table} WHERE {{kept}}"
        if isinstance(facet, RangesFacet):
            column = sql.identifier(facet.column)
            edges: list[Any] = [*facet.bounds, None]
            for low, high in itertools.pairwise(edges):
                upper = "" if high is None else f" AND {column} < {high}"
                queries[f"{name}:{low}"] = f"{total} AND {column} >= {low}{upper} GROUP BY 1"
        else:
            queries[name] = (
                f"SELECT company_id, {groups[name]}, count(*) FROM {table}"
                " WHERE {kept} GROUP BY 1, 2"
            )
        queries[f"{name}:total"] = f"{total} GROUP BY 1"
    return queries


def _old_aggregates(counted: Counted) -> dict[str, str]:
    """The queries of aggregates, as those of facets."""
    splits = counted.entity.splits()
    return {
        name: _figures(counted, [_group(splits[each]) for each in aggregate.by], aggregate)
        for name, aggregate in declared.of_entity(counted).items()
    }


def _ask(
    engine: sa.Engine,
    redis: store.Client,
    queries: Mapping[str, str],
    tenants: Sequence[str | None],
) -> None:
    """Run each query for each tenant, None for all at once."""
    for tenant in tenants:
        kept = _KEPT if tenant is None else f"{_KEPT} AND company_id = {int(tenant)}"
        for name, query in queries.items():
            _store(engine, redis, name, query.format(kept=kept))


def _store(engine: sa.Engine, redis: store.Client, name: str, query: str) -> None:
    """Run a query and put each tenant's rows into Redis as JSON, as the old system did."""
    by_tenant: dict[Any, list[Any]] = defaultdict(list)
    with database.transaction(engine) as connection:
        for row in sql.run(connection, query):
            by_tenant[row[0]].append(list(row[1:]))
    pipeline = redis.pipeline(transaction=False)
    for tenant, rows in by_tenant.items():
        pipeline.set(f"old:{name}:{tenant}", json.dumps(rows, default=str), ex=3600)
    pipeline.execute()


def _groups(counted: Counted) -> dict[str, str]:
    return {name: _group(facet) for name, facet in counted.entity.facets.items()}


def _group(facet: Facet) -> str:
    column = sql.identifier(getattr(facet, "column", "id"))
    match facet:
        case RangesFacet():
            bounds = ", ".join(str(bound) for bound in facet.bounds)
            return f"width_bucket({column}, ARRAY[{bounds}]::numeric[])"
        case DateFacet():
            return (
                f"date_trunc('{facet.bucket}', {column}, 'UTC')"
                if facet.column.endswith("_at")
                else f"date_trunc('{facet.bucket}', {column})"
            )
        case _:
            return column


def _union(counted: Counted, groups: Mapping[str, str]) -> str:
    return " UNION ALL ".join(
        f"SELECT company_id, {sql.literal(name)} AS facet, ({group})::text AS bucket, count(*) AS n"
        f" FROM {counted.table.quoted} WHERE {_KEPT} GROUP BY company_id, {group}"
        for name, group in groups.items()
    )


def _figures(counted: Counted, groups: list[str], aggregate: Any) -> str:
    money = [] if aggregate.currency is None else [sql.identifier(aggregate.currency)]
    keys = ["company_id", *groups, *money]
    measures = [
        f"{each.function}({'*' if each.column is None else sql.identifier(each.column)})"
        f" AS {sql.identifier(name)}"
        for name, each in aggregate.measures.items()
    ]
    shown = [f"{key} AS k{at}" for at, key in enumerate(keys)]
    return (
        f"SELECT {', '.join([*shown, *measures])} FROM {counted.table.quoted}"
        f" WHERE {{kept}} GROUP BY {', '.join(keys)}"
    )


def _view(engine: sa.Engine, name: str, query: str) -> str:
    view = sql.Relation("public", name).quoted
    with database.transaction(engine) as connection:
        sql.run(connection, f"DROP MATERIALIZED VIEW IF EXISTS {view}")
        sql.run(connection, f"CREATE MATERIALIZED VIEW {view} AS {query}")
        columns = sql.run(connection, f"SELECT * FROM {view} LIMIT 0").keys()
        keys = [c for c in columns if c in ("company_id", "facet", "bucket") or c.startswith("k")]
        unique = ", ".join(sql.identifier(key) for key in keys)
        sql.run(connection, f"CREATE UNIQUE INDEX ON {view} ({unique}) NULLS NOT DISTINCT")
    return view


def _read(engine: sa.Engine, counted: Counted, groups: Iterable[str]) -> None:
    columns = ", ".join(f"count({group})" for group in groups)
    with database.transaction(engine) as connection:
        sql.run(connection, "SET LOCAL max_parallel_workers_per_gather = 0")
        sql.run(connection, f"SELECT {columns} FROM {counted.table.quoted}").all()


def _forget(engine: sa.Engine, table: sql.Relation) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, f"TRUNCATE {table.quoted}")


def counted(engine: sa.Engine, catalog: Catalog, name: str) -> Counted:
    """An entity with its column types."""
    from crm_ops.sources import tables  # noqa: PLC0415

    relation = sql.Relation.parse(catalog.entities[name].table)
    with database.transaction(engine) as connection:
        return Counted(catalog, name, tables.inspect(connection, [relation])[relation].columns)
