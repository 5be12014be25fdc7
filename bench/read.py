"""Cases: what a CRM's request waits for: a faceted search, a report.

The old way of a search is one GROUP BY query for each facet, a count for the total, and a page by
OFFSET; a filtered facet is counted under the other filters, too, so that all ways give the same
answer. The peer is one GROUPING SETS query with everything in one round trip. The floor of a search
is one Redis read and a page by the primary key. The old way of a report is a query of the rows, the
peer a materialized view. Each way is asked the same questions, in turn; they are the values that
the tenant's rows have, so common ones are asked more often.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from bench import counting, folding
from bench.case import OURS
from bench.report import say, table
from bench.setup import Setup
from crm_ops.base import database, names, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.facets import DateFacet, LinkFacet, RangesFacet
from crm_ops.fold import splits
from crm_ops.read.layout import Layout
from crm_ops.read.layout import read as read_layout
from crm_ops.read.reader import Reader

_PAGE = 50
# The facets that people filter by.
_FILTERED = ("status", "source", "industry", "owner", "score", "created_month")
_REPORTS: Mapping[str, str] = {
    "leads_by_status": "SELECT status, count(*) FROM crm.lead",
    "leads_by_owner": "SELECT owner_id, count(*) FROM crm.lead",
    "leads_by_day": "SELECT date_trunc('day', created_at), count(*) FROM crm.lead",
    "deals_by_stage": "SELECT stage, currency, count(*), sum(amount), avg(amount), min(amount),"
    " max(amount) FROM crm.deal",
    "revenue_by_close_month": "SELECT date_trunc('month', close_date), currency, count(*),"
    " sum(amount) FROM crm.deal",
}


@dataclass(frozen=True)
class Waited:
    """What one way made its callers wait for one kind of question, in milliseconds."""

    question: str
    way: str
    milliseconds: tuple[float, ...]

    def at(self, share: float) -> float:
        """The time within which this share of the answers came."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def run(setup: Setup) -> None:
    """Measure the largest tenant, and one of about 20,000 rows."""
    report = setup.report("read", "Reading", __doc__)
    lead = counting.counted(setup.engine, setup.catalog, "lead")
    folding.capture(setup.engine, lead, setup.tenants)
    sized = largest_tenants(setup.engine)
    small = next((each for each in sized if each[1] < 25_000), sized[-1])
    for tenant, rows in dict.fromkeys((sized[0], small)):
        say(f"searches of tenant {tenant}")
        found = searches(setup.engine, setup.redis, setup.catalog, tenant, 10 * setup.rounds)
        report.add(f"## Searches of a tenant of {rows:,} leads\n\n{_shown(found)}")
    tenant, rows = sized[0]
    say(f"reports of tenant {tenant}")
    found = reports(setup.engine, setup.catalog, tenant, 10 * setup.rounds)
    report.add(f"## Reports of a tenant of {rows:,} leads\n\n{_shown(found)}")


def searches(
    engine: sa.Engine, redis: store.Client, catalog: Catalog, tenant: str, questions: int
) -> list[Waited]:
    """Searches of a tenant's leads with none to three filters."""
    with database.transaction(engine) as connection:
        layout = read_layout(connection, catalog, "lead")
        samples = _samples(connection, layout, tenant)
    reader = Reader(catalog, engine, redis)
    alone = Reader(catalog, engine)
    found = []
    for filters in range(4):
        asked = [_question(samples, filters, seed) for seed in range(questions)]
        ways: dict[str, Callable[[Mapping[str, str]], object]] = {
            "old way": lambda each: _old(engine, layout, tenant, each),
            OURS: lambda each: reader.search("lead", tenant=tenant, filters=each, limit=_PAGE),
        }
        if filters == 0:
            ways["ours without Redis"] = lambda each: alone.search(
                "lead", tenant=tenant, filters=each, limit=_PAGE
            )
            ways["floor"] = lambda _: _floor(engine, redis, tenant)
        found += _ask(f"search, {filters} filters", ways, asked)
    return found


def reports(engine: sa.Engine, catalog: Catalog, tenant: str, questions: int) -> list[Waited]:
    """Reports of a tenant."""
    reader = Reader(catalog, engine)
    found = []
    for name, query in _REPORTS.items():
        keys = ", ".join(str(at + 1) for at in range(_keys(query)))
        raw = f"{query} WHERE company_id = %(tenant)s AND deleted_at IS NULL GROUP BY {keys}"
        ways: dict[str, Callable[[Mapping[str, str]], object]] = {
            "old way": lambda _, raw=raw: _all(engine, raw, tenant),  # type: ignore[misc]
            OURS: lambda _, name=name: reader.report(name, tenant=tenant),  # type: ignore[misc]
        }
        found += _ask(name, ways, [{}] * questions)
    return found


def _shown(found: Sequence[Waited]) -> str:
    ours = {each.question: each.at(0.5) for each in found if each.way == OURS}
    heads = ("question", "way", "p50 ms", "p95 ms", "p99 ms", "times ours")
    return table(
        heads,
        [
            [
                each.question,
                f"**{each.way}**" if each.way == OURS else each.way,
                *(f"{each.at(share):,.1f}" for share in (0.5, 0.95, 0.99)),
                f"{each.at(0.5) / ours[each.question]:.2f}",
            ]
            for each in found
        ],
    )


def largest_tenants(engine: sa.Engine) -> list[tuple[str, int]]:
    """Tenants by falling number of leads."""
    with database.transaction(engine) as connection:
        rows = sql.run(
            connection,
            f"SELECT tenant, counted FROM {names.REFRESH.quoted}"
            " WHERE kind = 'facets' AND entity = 'lead' ORDER BY counted DESC",
        )
        return [(row.tenant, row.counted) for row in rows]


def _ask(
    question: str,
    ways: Mapping[str, Callable[[Mapping[str, str]], object]],
    asked: Sequence[Mapping[str, str]],
) -> list[Waited]:
    took: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways.values():
        way(asked[0])
    for each in asked:
        for name, way in ways.items():
            began = time.perf_counter()
            way(each)
            took[name].append((time.perf_counter() - began) * 1000)
    return [Waited(question, name, tuple(found)) for name, found in took.items()]


def _samples(
    connection: sa.Connection, layout: Layout, tenant: str
) -> list[Mapping[str, str | None]]:
    """The buckets of some rows."""
    made = {name: _split(layout, name) for name in _FILTERED}
    columns = ", ".join(f"{each.text(each.key)} AS {name}" for name, each in made.items())
    rows = sql.run(
        connection,
        f"SELECT {columns} FROM crm.lead AS r WHERE company_id = %(tenant)s"
        " AND deleted_at IS NULL ORDER BY md5(id::text) LIMIT 500",
        tenant=tenant,
    )
    return [dict(row) for row in rows.mappings()]


def _question(
    samples: Sequence[Mapping[str, str | None]], filters: int, seed: int
) -> dict[str, str]:
    chance = random.Random(seed)
    row = chance.choice(samples)
    able = [name for name in _FILTERED if row[name] is not None]
    return {name: str(row[name]) for name in chance.sample(able, min(filters, len(able)))}


def _split(layout: Layout, name: str) -> splits.Split:
    facet = layout.entity.facets[name]
    assert not isinstance(facet, LinkFacet)
    return splits.make(name, facet, layout.counted.types, "UTC")


def _old(engine: sa.Engine, layout: Layout, tenant: str, filters: Mapping[str, str]) -> None:
    tests = {name: _test(layout, name, value) for name, value in filters.items()}
    own = "company_id = %(tenant)s AND deleted_at IS NULL"
    with database.transaction(engine) as connection:
        for name in layout.entity.facets:
            others = " AND ".join([own, *(t for other, t in tests.items() if other != name)])
            key = _split(layout, name).key
            sql.run(
                connection,
                f"SELECT {key}, count(*) FROM crm.lead AS r WHERE {others} GROUP BY 1",
                tenant=tenant,
            ).all()
        kept = " AND ".join([own, *tests.values()])
        sql.run(connection, f"SELECT count(*) FROM crm.lead AS r WHERE {kept}", tenant=tenant).all()
        sql.run(
            connection,
            f"SELECT * FROM crm.lead AS r WHERE {kept} ORDER BY created_at DESC, id DESC"
            f" LIMIT {_PAGE} OFFSET 0",
            tenant=tenant,
        ).all()


def _test(layout: Layout, name: str, value: str) -> str:
    facet = layout.entity.facets[name]
    assert not isinstance(facet, LinkFacet)
    if isinstance(facet, RangesFacet | DateFacet):
        split = _split(layout, name)
        return f"{split.text(split.key)} = {sql.literal(value)}"
    return f"{sql.identifier(facet.column)} = {sql.literal(value)}"


def _floor(engine: sa.Engine, redis: store.Client, tenant: str) -> None:
    redis.get(names.facets_key("lead", tenant))
    with database.autocommit(engine) as connection:
        sql.run(connection, f"SELECT * FROM crm.lead WHERE id > 0 ORDER BY id LIMIT {_PAGE}").all()


def _keys(query: str) -> int:
    """How many of a query's columns are no figures."""
    columns = query.removeprefix("SELECT ").split(" FROM ")[0]
    return columns.split("count(")[0].replace("', ", "' ").count(",")


def _all(engine: sa.Engine, query: str, tenant: str) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, query, tenant=tenant).all()


__all__ = ["Waited", "largest_tenants", "reports", "run", "searches"]
