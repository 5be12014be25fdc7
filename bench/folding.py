"""Cases: a refresh after some rows changed, and how little memory it takes.

A refresh makes facet counts and aggregates exact and publishes them: ours from the log of changes,
our rebuild and the old way from all rows, the peer by REFRESH MATERIALIZED VIEW CONCURRENTLY of the
facet counts alone. The floor reads the log and deletes it. Of the rows that change, all move in
their last update, half in their status, a quarter in their score; in a case of its own, rows come
and go, by soft deletes and restores, which changes every facet and aggregate. The old way's and the
peer's time does not depend on what changed.
"""

from __future__ import annotations

import multiprocessing
import re
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench import counting
from bench.case import OURS, Case
from bench.report import table
from bench.setup import ROOT, Setup
from crm_ops.base import database, settings, sql, store
from crm_ops.catalog import load
from crm_ops.changes import install, logs
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.definition import KINDS
from crm_ops.fold.rows import Counted
from crm_ops.publish import latest
from crm_ops.sources import tenants as sources

SHARES = (0.01, 0.1, 1.0, 10.0)
# Where counting anew was found to cost what folding does; `auto` chooses by it.
_EVEN = 25.0
_FLOOR = "floor (read and delete the log)"
_REBUILD = "our full rebuild"
_PEER = "materialized view (facets only)"
_OLD = "old way"

_CHANGED = (
    "SET updated_at = timestamptz '2026-06-30 12:00+00',"
    " status = CASE WHEN id / %(every)s %% 2 = 0 THEN"
    " CASE status WHEN 'new' THEN 'contacted' WHEN 'contacted' THEN 'qualified' ELSE 'new' END"
    " ELSE status END,"
    " score = CASE WHEN id / %(every)s %% 4 = 1 THEN 100 - score ELSE score END"
)
_GONE = "SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END"


def run(setup: Setup) -> None:
    """Measure refreshes of leads after shares of them changed."""
    report = setup.report("folding", "Refreshing after changes", __doc__)
    lead = counting.counted(setup.engine, setup.catalog, "lead")
    for share in SHARES:
        case = refresh_case(setup.engine, setup.redis, lead, setup.tenants, share)
        report.case(case, setup.rounds)
    came = refresh_case(setup.engine, setup.redis, lead, setup.tenants, 1.0, gone=True)
    report.case(came, setup.rounds)
    even = refresh_case(setup.engine, setup.redis, lead, setup.tenants, _EVEN)
    both = {way: even.ways[way] for way in (OURS, _REBUILD)}
    report.case(Case(even.title, f"{even.about}; where both cost alike", both, even.prepare), 1)
    report.add(f"## Memory\n\n{_memory(setup, lead)}")


def refresh_case(
    engine: sa.Engine,
    redis: store.Client,
    counted: Counted,
    tenants: list[str],
    share: float,
    *,
    gone: bool = False,
) -> Case:
    """A refresh after `share` percent of an entity's rows changed, or were there and not."""
    capture(engine, counted, tenants)
    old = counting.old_way(engine, redis, counted)
    view = counting.facets_view(engine, counted)
    log = _log(engine, counted)
    turn = iter(range(1_000_000))

    def ours() -> None:
        done = refresh.fold(engine, counted)
        if done.set_aside or done.unusable or not done.drained.changes:
            raise RuntimeError(f"nothing was folded: {done}")
        _publish(engine, redis, counted, tenants)

    def anew() -> None:
        rebuild.facet_counts(engine, counted, tenants)
        _publish(engine, redis, counted, tenants)

    def floor() -> None:
        with database.transaction(engine, keep=False) as connection:
            taken = f"WITH taken AS (DELETE FROM {log.relation.quoted} RETURNING *)"
            sql.run(connection, f"{taken} SELECT count(*) FROM taken").all()

    what = "came or went" if gone else "changed"
    return Case(
        f"refresh of {counted.name} after {share:g} % of its rows {what}",
        f"{len(counted.entity.facets)} facets and the aggregates of {len(tenants)} tenants",
        {
            _FLOOR: floor,
            OURS: ours,
            _REBUILD: anew,
            _PEER: lambda: counting.refresh_view(engine, view),
            _OLD: old,
        },
        prepare=lambda: _change(engine, counted, share, next(turn), gone=gone),
        long=frozenset({_REBUILD, _PEER, _OLD}),
    )


def _change(
    engine: sa.Engine, counted: Counted, share: float, turn: int, *, gone: bool = False
) -> None:
    """Change a share of the rows, each time others."""
    every = round(100 / share)
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            f"UPDATE {counted.table.quoted} {_GONE if gone else _CHANGED}"
            " WHERE id %% %(every)s = %(at)s",
            every=every,
            at=turn % every,
        )


def _memory(setup: Setup, counted: Counted) -> str:
    """The peak memory of a process that does nothing else, and of the server's that serves it."""
    _change(setup.engine, counted, 1.0, 99)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        idle, fold, anew, server = alone.submit(
            _peaks, setup.database_url, setup.redis_url, counted.name
        ).result()
    figures = [
        ["our process, before", f"{idle}"],
        ["our process, after a fold of 1 % and publishing", f"{fold}"],
        ["our process, after counting anew and publishing", f"{anew}"],
        ["the server's process, its own memory at most", f"{server}"],
    ]
    about = f"Peak memory in MB, of {setup.rows[counted.name]:,} rows."
    return f"{about}\n\n{table(('peak of', 'MB'), figures)}"


def _peaks(database_url: str, redis_url: str, name: str) -> tuple[int, int, int, int]:
    engine = database.engine(database_url)
    catalog = load.load(ROOT / settings.DEFAULT_CATALOG).catalog
    counted = counting.counted(engine, catalog, name)
    with database.transaction(engine) as connection:
        tenants = sources.active(connection, catalog)
        backend = sql.run(connection, "SELECT pg_backend_pid()").scalar_one()
    idle = _kilobytes("self", "VmHWM")
    held, stop = [0], threading.Event()

    def watch() -> None:
        # What is shared by all of the server's processes is not counted.
        while not stop.wait(0.005):
            held[0] = max(held[0], _kilobytes(backend, "RssAnon"))

    watching = threading.Thread(target=watch)
    watching.start()
    with store.client(redis_url) as redis:
        refresh.fold(engine, counted)
        _publish(engine, redis, counted, tenants)
        folded = _kilobytes("self", "VmHWM")
        rebuild.facet_counts(engine, counted, tenants)
        _publish(engine, redis, counted, tenants)
    stop.set()
    watching.join()
    engine.dispose()
    sizes = (idle, folded, _kilobytes("self", "VmHWM"), held[0])
    return tuple(size // 1024 for size in sizes)  # type: ignore[return-value]


def _kilobytes(process: int | str, what: str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(rf"{what}:\s+(\d+)", status)
    return 0 if found is None else int(found[1])


def capture(engine: sa.Engine, counted: Counted, tenants: list[str]) -> None:
    """Have changes captured and everything counted."""
    only = {counted.name: counted.entity}
    aggregates = {
        name: each
        for name, each in counted.catalog.aggregates.items()
        if each.entity == counted.name
    }
    catalog = counted.catalog.model_copy(update={"entities": only, "aggregates": aggregates})
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    refresh.fold(engine, counted)
    rebuild.facet_counts(engine, counted, refresh.uncaptured(engine, counted, tenants))


def _publish(engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]) -> None:
    for kind in KINDS:
        latest.publish(engine, redis, counted, kind, tenants, now=datetime.now(UTC))


def _log(engine: sa.Engine, counted: Counted) -> logs.Log:
    with database.transaction(engine) as connection:
        return logs.read(connection, counted.catalog, counted.name)[0]


__all__ = ["SHARES", "capture", "refresh_case"]
