"""The page in Airflow: what its data cost.

Ten thousand tenants with eight kinds of figures each, a hundred thousand runs in the ledger. *Ours*
is what the page's backend reads, as JSON; the floor is one trip to PostgreSQL. Beside it stands the
plain way to the same rows: a statement without the indexes that were made for it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

from bench.case import OURS, Case
from bench.report import table
from bench.setup import Setup
from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.jobs import overview, tenants

_TENANTS = 10_000
_RUNS = 100_000
_CALLS = 200

_LEDGER = f"""
INSERT INTO crm_ops.run (job, state, started_by, request, started_at, finished_at, tenants,
                         rows_seen, figures_written, took_ms, details)
SELECT (ARRAY['precompute_facets', 'precompute_aggregates', 'audit_maintenance', 'warm_caches'])
           [1 + n %% 4],
       CASE WHEN n %% 97 = 0 THEN 'failed' ELSE 'success' END, 'bench', '{{"dry_run": false}}',
       moment, moment + interval '2 s', {_TENANTS}, 1000, 50, 2000,
       CASE WHEN n %% 4 = 3 THEN '{{"facets_wanted": 10, "facets_present": 10}}'::jsonb
            ELSE '{{}}' END
FROM generate_series(1, {_RUNS}) AS n
CROSS JOIN LATERAL (SELECT now() - ({_RUNS} - n) * interval '75 s') AS began (moment)
"""
_BATCHES = """
INSERT INTO crm_ops.batch (run_id, number, label, work, state)
SELECT id, 1, 'bench', '{}', 'success' FROM crm_ops.run WHERE started_by = 'bench'
"""
_FIGURES = f"""
INSERT INTO crm_ops.refresh (kind, entity, tenant, version, as_of, counted, captured, proved_at)
SELECT kind, entity, 'bench-' || n, 1, now() - n * interval '1 s', n, n %% 3 > 0,
       CASE WHEN n %% 7 > 0 THEN now() - n * interval '1 min' END
FROM unnest(ARRAY['facets', 'aggregates']) AS kind,
     unnest(ARRAY['lead', 'deal', 'account', 'contact']) AS entity,
     generate_series(1, {_TENANTS}) AS n
"""
_PLAIN_LAST_RUNS = """
SELECT DISTINCT ON (job) id, job, state, started_at, took_ms,
       (SELECT max(done.finished_at) FROM crm_ops.run AS done
        WHERE done.job = run.job AND done.state = 'success')
FROM crm_ops.run ORDER BY job, started_at DESC
"""
_PLAIN_TENANTS = """
SELECT tenant, min(as_of), min(proved_at) FROM crm_ops.refresh GROUP BY tenant ORDER BY 2
"""


@dataclass(frozen=True)
class _Sight:
    engine: sa.Engine
    catalog: Catalog

    def clock(self) -> datetime:
        return datetime.now(UTC)


def run(setup: Setup) -> None:
    """Fill, measure, and take away what was filled in."""
    report = setup.report("page", "The page in Airflow", __doc__)
    _forget(setup.engine)
    with database.transaction(setup.engine) as connection:
        for statement in (_LEDGER, _BATCHES, _FIGURES):
            sql.run(connection, statement)
    with database.autocommit(setup.engine) as connection:
        sql.run(connection, "VACUUM ANALYZE crm_ops.run, crm_ops.batch, crm_ops.refresh")
    try:
        _measure(setup, report.case, report.add)
    finally:
        _forget(setup.engine)


def _measure(setup: Setup, case: Callable[[Case, int], object], add: Callable[[str], None]) -> None:
    engine, sight = setup.engine, _Sight(setup.engine, setup.catalog)

    def ask(statement: str) -> Callable[[], object]:
        def asked() -> object:
            with database.transaction(engine) as connection:
                return sql.run(connection, statement).all()

        return asked

    def glance() -> bytes:
        return msgspec.json.encode(overview.read(sight))

    def page(**asked: object) -> bytes:
        with database.transaction(engine) as connection:
            found = tenants.read(connection, now=sight.clock(), limit=20, **asked)  # type: ignore[arg-type]
        return msgspec.json.encode(found)

    case(
        Case(
            "The whole overview",
            "Jobs, trends, freshness, audit log, caches and alerts in one snapshot.",
            {OURS: glance, "the last runs alone, plainly": ask(_PLAIN_LAST_RUNS)},
        ),
        setup.rounds,
    )
    case(
        Case(
            "A page of tenants",
            "The oldest figures first, with all figures of the 20 that are shown.",
            {
                OURS: page,
                "all tenants, without their figures": ask(_PLAIN_TENANTS),
                "one trip": ask("SELECT 1"),
            },
        ),
        setup.rounds,
    )
    calls: dict[str, Callable[[], object]] = {
        "overview": glance,
        "tenants, oldest figures first": page,
        "tenants, oldest proof first": lambda: page(sort="proved_at"),
        "tenants, the last page": lambda: page(sort="tenant", offset=_TENANTS - 20),
        "tenants, searched": lambda: page(search="777"),
    }
    rows = [[name, *_percentiles(call)] for name, call in calls.items()]
    add(
        f"## One call after another\n\n{_CALLS} calls of each, in milliseconds.\n\n"
        + table(("call", "median", "p95", "slowest"), rows)
    )


def _percentiles(call: Callable[[], object]) -> list[str]:
    call()
    taken = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return [
        f"{each:.1f}"
        for each in (statistics.median(taken), taken[round(0.95 * _CALLS) - 1], taken[-1])
    ]


def _forget(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, "DELETE FROM crm_ops.run WHERE started_by = 'bench'")
        sql.run(connection, "DELETE FROM crm_ops.refresh WHERE tenant LIKE 'bench-%%'")


__all__ = ["run"]
