"""The ledger forgets what is old, and keeps what says how things stand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from crm_ops.jobs import retention
from crm_ops.jobs.retention import Forgotten
from crm_ops.jobs.work import Tools
from tests.jobs.conftest import execute, go, rows

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def runs(engine: sa.Engine, job: str, state: str, *ages: int) -> None:
    """Runs of a job that began so many days ago, each with a batch."""
    for age in ages:
        at = NOW - timedelta(days=age)
        execute(
            engine,
            "WITH made AS (INSERT INTO crm_ops.run (job, state, started_by, request, started_at)"
            f" VALUES ('{job}', '{state}', 'a test', '{{}}', '{at}') RETURNING id)"
            " INSERT INTO crm_ops.batch (run_id, number, label, work, state)"
            " SELECT id, 1, 'lead: all', '{}', 'success' FROM made",
        )


def ages(engine: sa.Engine) -> list[tuple[str, str, int]]:
    found = rows(engine, "SELECT job, state, started_at FROM crm_ops.run ORDER BY id")
    return [(job, state, (NOW - at).days) for job, state, at in found]


def test_what_is_older_goes_with_its_batches(migrated: sa.Engine) -> None:
    runs(migrated, "warm_caches", "success", 120, 91, 89, 1)
    done = retention.forget(migrated, keep_days=90, now=NOW)
    assert done == Forgotten(runs=2, alerts=0)
    assert ages(migrated) == [("warm_caches", "success", 89), ("warm_caches", "success", 1)]
    assert rows(migrated, "SELECT count(*) FROM crm_ops.batch") == [(2,)]
    assert retention.forget(migrated, keep_days=90, now=NOW) == Forgotten(0, 0)


def test_the_last_run_and_the_last_success_of_a_job_stay(migrated: sa.Engine) -> None:
    """A job that was switched off a year ago, and one that has failed ever since."""
    runs(migrated, "warm_caches", "success", 400, 365)
    runs(migrated, "audit_maintenance", "success", 300, 200)
    runs(migrated, "audit_maintenance", "failed", 150, 100)
    retention.forget(migrated, keep_days=90, now=NOW)
    assert ages(migrated) == [
        ("warm_caches", "success", 365),
        ("audit_maintenance", "success", 200),
        ("audit_maintenance", "failed", 100),
    ]


def test_alerts_go_when_they_are_over(migrated: sa.Engine) -> None:
    execute(
        migrated,
        "INSERT INTO crm_ops.alert (incident, kind, subject, state, message, opened_at,"
        " recovered_at) VALUES"
        " ('late:a', 'late', 'a', 'recovered', 'x', '2025-01-01', '2025-01-02'),"
        " ('late:b', 'late', 'b', 'recovered', 'x', '2025-01-01', '2026-04-30'),"
        " ('late:c', 'late', 'c', 'open', 'x', '2025-01-01', NULL)",
    )
    assert retention.forget(migrated, keep_days=90, now=NOW).alerts == 1
    assert rows(migrated, "SELECT incident FROM crm_ops.alert ORDER BY 1") == [
        ("late:b",),
        ("late:c",),
    ]


def test_many_go_in_short_transactions_and_two_at_once_do_not_wait(migrated: sa.Engine) -> None:
    execute(
        migrated,
        "INSERT INTO crm_ops.run (job, state, started_by, request, started_at)"
        " SELECT 'warm_caches', 'success', 'a test', '{}', '2025-01-01'"
        " FROM generate_series(1, 3500)",
    )
    found: list[Forgotten] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(retention.forget(migrated, keep_days=90, now=NOW))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.runs for each in found) == 3_499
    assert rows(migrated, "SELECT count(*) FROM crm_ops.run") == [(1,)]


def test_the_nightly_job_does_it_as_the_catalog_says(
    tools: Tools, changed: Callable[..., Tools]
) -> None:
    runs(tools.engine, "precompute_facets", "success", 400, 399)
    short = changed(("rows_per_batch: 2000000", "rows_per_batch: 2000000\n  ledger_days: 30"))
    go("warm_caches", short, dry_run=True)
    assert len(rows(tools.engine, "SELECT 1 FROM crm_ops.run WHERE job LIKE '%%facets'")) == 2
    go("warm_caches", short)
    assert len(rows(tools.engine, "SELECT 1 FROM crm_ops.run WHERE job LIKE '%%facets'")) == 1
