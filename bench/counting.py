"""Cases: the full precomputation of facet counts and of aggregates.

The old way is one GROUP BY query for each facet, one count query for each bucket of a range, and
one count for each facet's total, for all tenants at once (for each tenant by itself it is slower
still). The peer is REFRESH MATERIALIZED VIEW CONCURRENTLY of the same counts. The floor reads the
columns that are counted, and does nothing with them. What each makes is stored: the old way's in
Redis, the peer's in its view, ours in our tables and in Redis.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

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


def run(setup: Setup) -> None:
    """Measure leads and deals; without captured changes each kind of figures is made by itself."""
    with database.transaction(setup.engine) as connection:
        steps = install.removal(connection)
    install.apply(setup.engine, steps)
    report = setup.report("counting", "Counting from scratch", __doc__)
    for name in ("lead", "deal"):
        entity = counted(setup.engine, setup.catalog, name)
        for case in (facet_case, aggregate_case):
            report.case(case(setup.engine, setup.redis, entity, setup.tenants), setup.rounds)


def facet_case(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]
) -> Case:
    """Full facet counts of one entity."""
    groups = {name: _group(facet) for name, facet in counted.entity.facets.items()}
    view = _view(engine, "bench_facets", _union(counted, groups))

    def ours() -> None:
        _forget(engine, names.FACET_COUNT)
        rebuild.facet_counts(engine, counted, tenants)
        facets.publish(engine, redis, counted.name, counted.entity, tenants, now=datetime.now(UTC))

    return Case(
        f"facet counts of {counted.name}, from scratch",
        f"{len(groups)} facets, {len(tenants)} tenants",
        {
            "old way": lambda: _old_facets(engine, redis, counted, groups),
            "materialized view": lambda: refresh_view(engine, view),
            OURS: ours,
            "floor (read the columns)": lambda: _read(engine, counted, groups.values()),
        },
    )


def aggregate_case(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]
) -> Case:
    """Full figures of all aggregates of one entity."""
    wanted = declared.of_entity(counted)
    splits = counted.entity.splits()
    queries = {
        name: _figures(counted, [_group(splits[each]) for each in aggregate.by], aggregate)
        for name, aggregate in wanted.items()
    }
    columns = sorted(
        {_group(splits[each]) for aggregate in wanted.values() for each in aggregate.by}
    )
    views = [_view(engine, f"bench_{name}", query) for name, query in queries.items()]

    def ours() -> None:
        _forget(engine, names.AGGREGATE)
        rebuild.aggregate_figures(engine, counted, tenants)
        for name in wanted:
            aggregates.publish(engine, redis, name, counted.name, tenants, now=datetime.now(UTC))

    return Case(
        f"aggregates of {counted.name}, from scratch",
        f"{len(wanted)} aggregates, {len(tenants)} tenants",
        {
            "old way": lambda: [_store(engine, redis, name, q) for name, q in queries.items()],
            "materialized view": lambda: [refresh_view(engine, view) for view in views],
            OURS: ours,
            "floor (read the columns)": lambda: _read(engine, counted, columns),
        },
    )


def old_way(engine: sa.Engine, redis: store.Client, counted: Counted) -> Callable[[], object]:
    """All queries of the old way for an entity, facets and aggregates."""
    groups = {name: _group(facet) for name, facet in counted.entity.facets.items()}
    splits = counted.entity.splits()
    queries = {
        name: _figures(counted, [_group(splits[each]) for each in aggregate.by], aggregate)
        for name, aggregate in declared.of_entity(counted).items()
    }

    def run() -> None:
        _old_facets(engine, redis, counted, groups)
        for name, query in queries.items():
            _store(engine, redis, name, query)

    return run


def facets_view(engine: sa.Engine, counted: Counted) -> str:
    """A materialized view of an entity's facet counts, by its quoted name."""
    groups = {name: _group(facet) for name, facet in counted.entity.facets.items()}
    return _view(engine, "bench_facets", _union(counted, groups))


def refresh_view(engine: sa.Engine, view: str) -> None:
    """Bring a materialized view up to date beside its readers."""
    with database.transaction(engine) as connection:
        sql.run(connection, f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}")


def _old_facets(
    engine: sa.Engine, redis: store.Client, counted: Counted, groups: Mapping[str, str]
) -> None:
    table = counted.table.quoted
    for name, facet in counted.entity.facets.items():
        if isinstance(facet, RangesFacet):
            column = sql.identifier(facet.column)
            edges: list[Any] = [*facet.bounds, None]
            for low, high in itertools.pairwise(edges):
                upper = "" if high is None else f" AND {column} < {high}"
                _store(
                    engine,
                    redis,
                    f"{name}:{low}",
                    f"SELECT company_id, count(*) FROM {table}"
                    f" WHERE deleted_at IS NULL AND {column} >= {low}{upper} GROUP BY 1",
                )
        else:
            _store(
                engine,
                redis,
                name,
                f"SELECT company_id, {groups[name]}, count(*) FROM {table}"
                " WHERE deleted_at IS NULL GROUP BY 1, 2",
            )
        _store(
            engine,
            redis,
            f"{name}:total",
            f"SELECT company_id, count(*) FROM {table} WHERE deleted_at IS NULL GROUP BY 1",
        )


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
        f" FROM {counted.table.quoted} WHERE deleted_at IS NULL GROUP BY company_id, {group}"
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
        f" WHERE deleted_at IS NULL GROUP BY {', '.join(keys)}"
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
