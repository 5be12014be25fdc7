"""Cases: what a CRM's request waits for: a faceted search, a report.

Three tenants, of 2, 20 and 100 in 100 of the demo's leads, and four times as many deals as it has.
While anybody waits, another process writes fifty leads a second, and folds and publishes every two
seconds what changed.

A search is a page of 50 rows, the exact total, and the counts of every facet, each facet's own
filter left out of its own counts. Of a hundred searches 25 have no filter, 35 one, 25 two and 15
three; the values are those that the tenant's rows have, so common ones are asked for more often.
The old way is one GROUP BY query for each facet, a count for the total, and a page by OFFSET. One
GROUPING SETS query is all of that in one statement. DuckDB and tantivy hold a copy of all leads in
this process's memory, made before and not kept up to date, its buckets ready made; they save the
trip to a server, and what changes after is not in their answers. Before anything is measured, all
ways must have given the same counts to a part of the questions.

One reader asks ours and the floors the same questions in turn, then all ways, which leave each
other a processor whose caches hold something else. A way that has used up its seconds is asked
fewer questions, and is compared with ours by those alone. Eight readers are eight threads of one
Python process, as fast as they can, one way after the other. A floor is what no answer can do
without: a round trip to Redis, a page by the primary key.

Some searches are narrowed by who asks (what a user sees is decided by owners, the roles above them,
rules, and records shared with the user) or by a text; then the peer is one GROUPING SETS query with
the same conditions, which is what a CRM would write.

A report's old way is a query of the rows; the peer is a materialized view, fresh when it was made.
The floor is a page by the primary key of as many rows as the report has lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from bench import (
    counting,
    meanwhile,
    questions,
    read_narrowed,
    read_peers,
    read_reports,
    read_ways,
    tenants,
    waiting,
    waits,
)
from bench.case import OURS
from bench.questions import Question
from bench.read_ways import Way
from bench.report import say, table
from bench.setup import Setup
from bench.waiting import Waited
from crm_ops.base import database, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.definition import KINDS
from crm_ops.publish import latest
from crm_ops.read import connect
from crm_ops.read.access import Access
from crm_ops.read.layout import Layout
from crm_ops.read.layout import read as read_layout
from crm_ops.read.reader import Reader
from crm_ops.schema import migrate
from crm_ops.sharing import install as sharing

# Questions of a tenant, the seconds that a way has for them, and that eight readers have.
_QUESTIONS = 240
_ALONE_S = 4.0
_AT_ONCE_S = 2.0
# The same of a report.
_REPORTS = 200
_REPORT_S = 0.8
# So many questions of each tenant are compared: those of each number of filters.
_COMPARED = 4


def run(setup: Setup) -> None:
    """Measure searches and reports of each tenant."""
    report = setup.report("read", "Reading", __doc__)
    catalog = tenants.catalog(setup.catalog)
    everybody = list(tenants.SHARES)
    with tenants.up(setup) as owner:
        _precompute(owner, setup.redis, catalog, everybody)
        url = owner.url.render_as_string(hide_password=False)
        engine = connect.engine(url, connections=waiting.READERS)
        redis = connect.redis_client(setup.redis_url)
        with database.transaction(owner) as connection:
            layout = read_layout(connection, catalog, "lead")
        with database.transaction(owner) as connection:
            access = Access(connection, catalog)
        reader = Reader(catalog, engine, redis, access=access)
        statement = read_ways.OneStatement(engine, layout, access)
        ways = _ways(engine, reader, layout, statement)
        asked = {tenant: questions.make(owner, layout, tenant, _QUESTIONS) for tenant in everybody}
        for each in asked.values():
            _agree(ways, each[:_COMPARED])
        for tenant in everybody:
            _agree([ways[0], statement], questions.narrowed(owner, layout, tenant, 1))
        with (
            read_reports.views(owner),
            meanwhile.writes_and_refreshes(url, setup.redis_url),
        ):
            for tenant, each in asked.items():
                rows = _rows(owner, "lead", tenant)
                say(f"searches of {rows:,} leads")
                report.add(_searches(ways, engine, redis, layout, rows, each))
                say(f"searches of {rows:,} leads that a user or a text narrows")
                narrowed = questions.narrowed(owner, layout, tenant, read_narrowed.OF_EACH_KIND)
                report.add(read_narrowed.searches(ways[0], statement, narrowed))
                report.add(_reports(engine, reader, tenant, rows))
        engine.dispose()
        redis.close()


def _precompute(
    engine: sa.Engine, redis: store.Client, catalog: Catalog, everybody: list[str]
) -> None:
    say("counting")
    migrate.upgrade(engine)
    # A Redis that was filled from another database says nothing about this one.
    redis.flushall()
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    sharing.apply(engine, catalog)
    for name in catalog.entities:
        counted = counting.counted(engine, catalog, name)
        refresh.fold(engine, counted)
        rebuild.facet_counts(engine, counted, everybody)
        rebuild.aggregate_figures(engine, counted, everybody)
        for kind in KINDS:
            latest.publish(engine, redis, counted, kind, everybody, now=datetime.now(UTC))
    with database.autocommit(engine) as connection:
        for relation in ("facet_count", "aggregate", "refresh"):
            sql.run(connection, f"VACUUM ANALYZE crm_ops.{relation}")


def _ways(
    engine: sa.Engine, reader: Reader, layout: Layout, statement: read_ways.OneStatement
) -> list[Way]:
    with read_peers.copied(engine, layout) as leads:
        duck = read_peers.DuckDb(leads, list(layout.entity.facets))
        tantivy = read_peers.Tantivy(leads, list(layout.entity.facets))
    return [
        read_ways.Ours(reader),
        read_ways.OldWay(engine, layout),
        statement,
        duck,
        tantivy,
    ]


def _agree(ways: Sequence[Way], asked: Sequence[Question]) -> None:
    """Raise where two ways count differently."""
    say("comparing the answers of all ways")
    for question in asked:
        found = {way.name: way.counts(way.ask(question)) for way in ways}
        for name, counts in found.items():
            differing = set(found[OURS].items()) ^ set(counts.items())
            if differing:
                raise RuntimeError(f"{name} and ours differ for {question}: {list(differing)[:5]}")


def _searches(
    ways: Sequence[Way],
    engine: sa.Engine,
    redis: store.Client,
    layout: Layout,
    rows: int,
    asked: Sequence[Question],
) -> str:
    floors = (read_ways.RedisFloor(redis), read_ways.PageFloor(engine, layout))
    parts = [f"## Searches of a tenant of {rows:,} leads\n"]
    for title, measured in (
        ("One reader, in turn with nothing but the floors.\n", (ways[0], *floors)),
        ("One reader, all ways in turn.\n", ways),
    ):
        asks = {each.name: each.ask for each in measured}
        parts += [title, _by_filters(waiting.in_turn(asks, asked, budget_s=_ALONE_S)), ""]
    lines = []
    for way in ways:
        say(f"eight readers of {rows:,} leads: {way.name}")
        waited, rate = waiting.at_once(way.ask, asked, seconds=_AT_ONCE_S)
        lines.append([waits.bold(way.name), *waits.shown(waited), f"{rate:,.1f}"])
    parts += [
        "Eight readers, the whole mix.\n",
        table(("way", *waits.TIMES, "answers a second"), lines),
    ]
    return "\n".join(parts)


def _by_filters(alone: Mapping[str, Sequence[tuple[Question, float]]]) -> str:
    lines = []
    for filters in (*range(len(questions.MIX)), None):
        title = "the whole mix" if filters is None else f"{filters} filters"
        found = {
            way: [ms for asked, ms in pairs if filters in (None, len(asked.filters))]
            for way, pairs in alone.items()
            if filters == 0 or not way.startswith("floor")
        }
        for way, times in found.items():
            waited, compared = Waited(tuple(times)), waits.ratio(times, found[OURS])
            lines.append([title, waits.bold(way), *waits.shown(waited), str(len(times)), compared])
    return table(("question", "way", *waits.TIMES, "answers", "times ours"), lines)


def _reports(engine: sa.Engine, reader: Reader, tenant: str, rows: int) -> str:
    lines = []
    for case in read_reports.CASES:
        say(f"reports of {rows:,} leads: {case.title}")
        made = read_reports.ways(engine, reader, case, tenant)
        found = waiting.in_turn(made, [None] * _REPORTS, budget_s=_REPORT_S)
        waited = {way: Waited(tuple(ms for _, ms in pairs)) for way, pairs in found.items()}
        for way, each in waited.items():
            ratio = waits.ratio(each.milliseconds, waited[OURS].milliseconds)
            lines.append([case.title, waits.bold(way), *waits.shown(each), ratio])
    deals = _rows(engine, "deal", tenant)
    heads = ("report", "way", *waits.TIMES, "times ours")
    return f"## Reports of a tenant of {rows:,} leads and {deals:,} deals\n\n{table(heads, lines)}"


def _rows(engine: sa.Engine, entity: str, tenant: str) -> int:
    with database.transaction(engine) as connection:
        found: Any = sql.run(
            connection,
            f"SELECT count(*) FROM crm.{entity} WHERE company_id = {tenant} AND deleted_at IS NULL",
        ).scalar_one()
    return int(found)


__all__ = ["run"]
