"""Cases: a refresh after some rows changed, and how little memory it takes.

A refresh makes facet counts and aggregates exact and publishes them: ours from the log of changes,
our rebuild and the old way from all rows, the peer by REFRESH MATERIALIZED VIEW CONCURRENTLY of the
facet counts alone. Ours also keeps, and publishes, the bitmaps that searches with filters count by;
without them (`limits.bitmaps_from_rows` larger than any tenant) it does what the old way does. The
old way asks for all tenants at once; as the old system did it, for one tenant after another, it is
measured once. The floor reads a copy of the log and deletes it. Of the rows that change, all move
in their last update, half in their status, a quarter in their score; in a case of its own, rows
come and go, by soft deletes and restores, which changes every facet and aggregate. Before each
round tables are vacuumed, and as much changes and is refreshed, unmeasured: a refresh follows a
refresh, as every few minutes. What takes seconds has its rounds after: it leaves work to the
server. The old way's and the peer's time does not depend on what changed.
"""

from __future__ import annotations

import multiprocessing
import re
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench import counting, fifty
from bench.case import OURS, Case
from bench.report import table
from bench.setup import Setup
from crm_ops.base import database, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install, logs
from crm_ops.demo import sizes
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.definition import KINDS
from crm_ops.fold.rows import Counted
from crm_ops.publish import latest

SHARES = (0.01, 0.1, 1.0, 10.0)
# Many changes, but still fewer than those from which on `auto` counts anew: half of the rows.
_MANY = 25.0
# The old way takes as long whatever changed: the slowest way is measured at one share.
_BY_TENANT_AT = 1.0
_FLOOR = "floor (read and delete the log)"
# The floor's own log: what it takes is gone, and ours still has its changes.
_COPY = sql.Relation("crm", "bench_log").quoted
_PLAIN = "ours, without bitmaps"
_REBUILD = "our full rebuild"
_REBUILD_PLAIN = "our full rebuild, without bitmaps"
_PEER = "materialized view (facets only)"

# What has its peak, in the order in which it is done.
_PEAKS = (
    "our process, before",
    "after a fold without bitmaps and publishing",
    "after a fold with bitmaps and publishing",
    "after a rebuild without bitmaps and publishing",
    "the server's process until then, its own memory",
    "after a rebuild with bitmaps and publishing",
    "the server's process until then, its own memory, with bitmaps",
)
_FOLDED = 10_000

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
    with fifty.up(setup) as own:
        report = own.report("folding", "Refreshing after changes", __doc__)
        capture(own)
        for share in SHARES:
            report.case(refresh_case(own, share), own.rounds)
        report.case(refresh_case(own, 1.0, gone=True), own.rounds)
        many = refresh_case(own, _MANY)
        both = {way: many.ways[way] for way in (OURS, _PLAIN, _REBUILD, _REBUILD_PLAIN)}
        about = f"{many.about}; from half of the rows on `auto` counts anew"
        report.case(Case(many.title, about, both, many.prepare, many.long), 1)
        report.add(f"## Memory\n\n{_memory(own)}")


def refresh_case(own: Setup, share: float, *, gone: bool = False) -> Case:
    """A refresh after `share` percent of the leads changed, or were there and not."""
    engine, redis, tenants = own.engine, own.redis, own.tenants
    kept, plain = _leads(own.engine, own.catalog)
    log = _log(engine, kept)
    view = counting.facets_view(engine, kept)
    turn = iter(range(1_000_000))
    by_tenant = (
        {counting.OLD_BY_TENANT: counting.old_way(engine, redis, kept, tenants)}
        if share == _BY_TENANT_AT and not gone
        else {}
    )

    def fold(counted: Counted) -> None:
        done = refresh.fold(engine, counted)
        if done.set_aside or done.unusable or not done.drained.changes:
            raise RuntimeError(f"nothing was folded: {done}")
        _publish(engine, redis, counted, tenants)

    def anew(counted: Counted) -> None:
        rebuild.facet_counts(engine, counted, tenants)
        _publish(engine, redis, counted, tenants)

    def floor() -> None:
        with database.transaction(engine) as connection:
            taken = f"WITH taken AS (DELETE FROM {_COPY} RETURNING *)"
            sql.run(connection, f"{taken} SELECT count(*) FROM taken").all()

    def prepare() -> None:
        with database.autocommit(engine) as connection:
            # Else it is done beside what is measured.
            sql.run(connection, "VACUUM (ANALYZE)")
        _change(engine, kept, share, next(turn), gone=gone)
        for counted in (plain, kept):
            fold(counted)
        _change(engine, kept, share, next(turn), gone=gone)
        with database.autocommit(engine) as connection:
            sql.run(connection, f"DROP TABLE IF EXISTS {_COPY}")
            sql.run(connection, f"CREATE TABLE {_COPY} AS TABLE {log.relation.quoted}")

    what = "came or went" if gone else "changed"
    return Case(
        f"refresh of leads after {share:g} % of their rows {what}",
        f"{len(kept.entity.facets)} facets and the aggregates of {len(tenants)} tenants",
        {
            _FLOOR: floor,
            _PLAIN: lambda: fold(plain),
            OURS: lambda: fold(kept),
            _REBUILD_PLAIN: lambda: anew(plain),
            _REBUILD: lambda: anew(kept),
            _PEER: lambda: counting.refresh_view(engine, view),
            counting.OLD: counting.old_way(engine, redis, kept, [None]),
            **by_tenant,
        },
        prepare=prepare,
        long=frozenset({_REBUILD_PLAIN, _REBUILD, _PEER, counting.OLD, *by_tenant}),
        once=frozenset(by_tenant),
    )


def _leads(engine: sa.Engine, catalog: Catalog) -> tuple[Counted, Counted]:
    """The leads with bitmaps and those without."""
    plain = fifty.without_bitmaps(catalog)
    return counting.counted(engine, catalog, "lead"), counting.counted(engine, plain, fifty.PLAIN)


def _change(
    engine: sa.Engine, counted: Counted, share: float, turn: int, *, gone: bool = False
) -> None:
    """Change a share of the rows, each time others; what goes is not among what changes later."""
    every = round(100 / share)
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            f"UPDATE {counted.table.quoted} {_GONE if gone else _CHANGED}"
            " WHERE id %% %(every)s = %(at)s",
            every=every,
            at=(-1 - turn if gone else turn) % every,
        )


def _memory(own: Setup) -> str:
    """The peak memory of a process that does nothing else, and of the server's that serves it.

    Of five million leads also of one million beside them: the same where memory is flat.
    """
    columns = {f"{own.rows['lead']:,} leads": _peaks_alone(own)}
    if own.size == sizes.LARGE.name:
        with fifty.up(own, sizes.MEDIUM.name) as smaller:
            capture(smaller)
            columns = {f"{smaller.rows['lead']:,} leads": _peaks_alone(smaller), **columns}
    figures = [[what, *(str(each[what]) for each in columns.values())] for what in _PEAKS]
    about = f"Peak memory in MB; {_FOLDED:,} rows changed."
    return f"{about}\n\n{table(('peak of', *columns), figures)}"


def _peaks_alone(own: Setup) -> dict[str, int]:
    """Megabytes by what had its peak, in a process of its own."""
    kept, _ = _leads(own.engine, own.catalog)
    _change(own.engine, kept, 100 * _FOLDED / own.rows["lead"], 99)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        found = alone.submit(_peaks, own.database_url, own.redis_url, own.tenants).result()
    return dict(zip(_PEAKS, found, strict=True))


def _peaks(database_url: str, redis_url: str, tenants: list[str]) -> list[int]:
    """Megabytes, in the order of `_PEAKS`; first without bitmaps, then with them."""
    engine = database.engine(database_url)
    kept, plain = _leads(engine, fifty.catalog())
    with database.transaction(engine) as connection:
        backend = sql.run(connection, "SELECT pg_backend_pid()").scalar_one()
    peaks = [_kilobytes("self", "VmHWM")]
    held, stop = [0], threading.Event()

    def watch() -> None:
        # What is shared by all of the server's processes is not counted.
        while not stop.wait(0.005):
            held[0] = max(held[0], _kilobytes(backend, "RssAnon"))

    watching = threading.Thread(target=watch)
    watching.start()
    with store.client(redis_url) as redis:
        for counted in (plain, kept):
            refresh.fold(engine, counted)
            _publish(engine, redis, counted, tenants)
            peaks.append(_kilobytes("self", "VmHWM"))
        for counted in (plain, kept):
            rebuild.facet_counts(engine, counted, tenants)
            _publish(engine, redis, counted, tenants)
            peaks += [_kilobytes("self", "VmHWM"), held[0]]
    stop.set()
    watching.join()
    engine.dispose()
    return [peak // 1024 for peak in peaks]


def _kilobytes(process: int | str, what: str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(rf"{what}:\s+(\d+)", status)
    return 0 if found is None else int(found[1])


def capture(own: Setup) -> None:
    """Have changes of leads captured and everything counted."""
    names = ("lead", fifty.PLAIN)
    only = {name: own.catalog.entities[name] for name in names}
    aggregates = {
        name: each for name, each in own.catalog.aggregates.items() if each.entity in only
    }
    declared = own.catalog.model_copy(update={"entities": only, "aggregates": aggregates})
    with database.transaction(own.engine) as connection:
        steps = install.plan(connection, declared)
    install.apply(own.engine, steps)
    for counted in _leads(own.engine, own.catalog):
        refresh.fold(own.engine, counted)
        behind = refresh.uncaptured(own.engine, counted, own.tenants)
        rebuild.facet_counts(own.engine, counted, behind)


def _publish(engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]) -> None:
    for kind in KINDS:
        latest.publish(engine, redis, counted, kind, tenants, now=datetime.now(UTC))


def _log(engine: sa.Engine, counted: Counted) -> logs.Log:
    with database.transaction(engine) as connection:
        return logs.read(connection, counted.catalog, counted.name)[0]


__all__ = ["SHARES", "capture", "refresh_case"]
