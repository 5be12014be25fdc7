"""What the page in Airflow reads: as `crm-ops status` says, and how things went before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_ops.base import database, errors, sql, statements
from crm_ops.base.results import Done
from crm_ops.jobs import ledger, overview, registry, status, tenants, trend
from crm_ops.jobs.overview import Overview
from crm_ops.jobs.tenants import Page
from crm_ops.jobs.work import Request, Tools, Work
from tests.jobs.conftest import execute, go, without

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def page(tools: Tools, **asked: Any) -> Page:
    with database.transaction(tools.engine) as connection:
        return tenants.read(connection, now=NOW, **asked)


def ended(
    tools: Tools, job: str, *, failures: dict[str, str] | None = None, took_ms: int = 1000
) -> int:
    """A run of one batch in the ledger."""
    began = tools.clock()
    run_id = ledger.begin(tools.engine, job, Request(), started_by="a test", now=began)
    work = [Work("lead: all", {})]
    (batch,) = ledger.add(tools.engine, job, run_id, work, dry_run=False)
    done = Done(rows_seen=7, figures_written=3, failures=failures or {})
    later = began + timedelta(milliseconds=took_ms)
    ledger.finish_batch(tools.engine, batch, done, error=None, now=later)
    state = "partial" if failures else "success"
    ledger.finish(tools.engine, run_id, done, state=state, error=None, now=later)
    return run_id


def test_it_holds_what_status_says(tools: Tools) -> None:
    for job in registry.JOBS:
        go(job, tools)
    seen = overview.read(tools)
    told = status.read(tools)
    assert (seen.status.jobs, seen.healthy) == (told.jobs, told.healthy)
    assert (seen.status.freshness, seen.status.capture) == (told.freshness, told.capture)
    assert seen.status.audit == told.audit
    assert seen.minimum_runway_days == 45


def test_before_any_run_everything_is_there_and_empty(tools: Tools) -> None:
    found = overview.read(tools)
    assert found.healthy is False
    assert found.trend == dict.fromkeys(registry.JOBS, ())
    assert (found.failed, found.incidents) == ({}, ())
    assert (found.caches.warmed_at, found.caches.filled) == (None, ())
    assert {stage.state for stage in found.timeline} == {"attached"}


def test_the_trend_is_the_last_runs_the_oldest_first(tools: Tools) -> None:
    runs = [ended(tools, "warm_caches", took_ms=100 * n) for n in range(1, trend.MOST + 4)]
    found = overview.read(tools).trend["warm_caches"]
    assert [point.id for point in found] == runs[-trend.MOST :]
    assert [point.took_ms for point in found][:2] == [400, 500]


def test_the_failed_tenants_are_those_of_the_last_run(tools: Tools) -> None:
    ended(tools, "precompute_facets", failures={"9": "long ago"})
    assert overview.read(tools).failed["precompute_facets"].first == {"9": "long ago"}
    many = {str(n): f"reason {n}" for n in range(30)}
    ended(tools, "precompute_facets", failures=many)
    failed = overview.read(tools).failed["precompute_facets"]
    assert (failed.tenants, len(failed.first)) == (30, 20)
    assert failed.first["4"] == "reason 4"
    ended(tools, "precompute_facets")
    assert overview.read(tools).failed == {}


def test_the_caches_are_as_the_last_warming_left_them(tools: Tools) -> None:
    go("warm_caches", tools)
    go("warm_caches", tools, dry_run=True)
    caches = overview.read(tools).caches
    assert {each.kind for each in caches.filled} == {"sharing", "facets", "aggregates"}
    assert all(each.present == each.wanted > 0 for each in caches.filled)
    assert caches.runs == 1
    assert caches.proved_tenants + caches.differing_figures == 0, "changes are not captured"


def audit_row(name: str, state: str, month: int, file_bytes: int | None) -> str:
    dropped = "now()" if state == "dropped" else "NULL"
    size = "NULL" if file_bytes is None else str(file_bytes)
    return (
        "INSERT INTO crm_ops.audit_partition"
        " (parent, name, lower, upper, state, rows, file_bytes, detached_at, dropped_at) VALUES"
        f" ('crm.audit_log', 'crm.{name}', '2020-{month:02}-01 00:00+00',"
        f" '2020-{month + 1:02}-01 00:00+00', '{state}', 10, {size}, now(), {dropped})"
    )


def test_the_time_line_has_what_left_the_log_and_what_is_held(tools: Tools) -> None:
    execute(
        tools.engine,
        audit_row("old_1", "dropped", 1, 500),
        audit_row("old_2", "dropped", 2, None),
        "INSERT INTO crm_ops.audit_hold (parent, reason, placed_by)"
        " VALUES ('crm.audit_log', 'a lawsuit', 'Ann')",
    )
    stages = overview.read(tools).timeline
    assert [(each.name, each.state, each.bytes) for each in stages[:2]] == [
        ("crm.old_1", "archived", 500),
        ("crm.old_2", "dropped", 0),
    ]
    assert [stage.lower for stage in stages] == sorted(stage.lower for stage in stages)
    assert {stage.holds for stage in stages if stage.state == "attached"} == {(1,)}
    execute(tools.engine, "UPDATE crm_ops.audit_hold SET lifted_at = now()")
    assert {stage.holds for stage in overview.read(tools).timeline} == {()}


def test_a_hold_on_some_months_marks_those(tools: Tools) -> None:
    newest = overview.read(tools).timeline[-1]
    execute(
        tools.engine,
        "INSERT INTO crm_ops.audit_hold (parent, reason, placed_by, lower)"
        f" VALUES ('crm.audit_log', 'a lawsuit', 'Ann', '{newest.lower.isoformat()}')",
    )
    held = [stage.name for stage in overview.read(tools).timeline if stage.holds]
    assert held == [newest.name]


def test_alerts_come_with_whom_they_reached_and_open_ones_first(tools: Tools) -> None:
    execute(
        tools.engine,
        "INSERT INTO crm_ops.alert (incident, kind, subject, message, state, opened_at,"
        " recovered_at) VALUES"
        " ('late:warm_caches', 'late', 'warm_caches', 'it is late', 'open', now() - interval '2 h',"
        " NULL),"
        " ('drift:lead', 'drift', 'lead', 'it drifted', 'recovered', now() - interval '1h', now())",
        "INSERT INTO crm_ops.alert_delivery (alert_id, channel, recipient, phase, state, attempts,"
        " last_error, next_attempt_at) VALUES"
        " (1, 'email', 'ops', 'opened', 'failed', 5, 'https://hooks/s3cret refused', now())",
    )
    late, drift = overview.read(tools).incidents
    assert (late.subject, late.recovered_at, drift.subject) == ("warm_caches", None, "lead")
    (sent,) = late.deliveries
    assert (sent.channel, sent.recipient) == ("email", "ops")
    assert (sent.state, sent.attempts) == ("failed", 5)
    assert "s3cret" not in repr(late)


def test_a_tenant_is_as_fresh_and_as_proved_as_its_worst_figures(tools: Tools) -> None:
    go("precompute_facets", tools)
    go("precompute_aggregates", tools)
    execute(
        tools.engine,
        "UPDATE crm_ops.refresh SET proved_at = now()",
        "UPDATE crm_ops.refresh SET as_of = '2026-01-01', proved_at = NULL"
        " WHERE tenant = '7' AND entity = 'deal' AND kind = 'aggregates'",
    )
    found = page(tools)
    assert (found.total, len(found.tenants), found.read_at) == (13, 13, NOW)
    oldest = found.tenants[0]
    assert (oldest.tenant, oldest.proved_at) == ("7", None)
    assert oldest.as_of == datetime(2026, 1, 1, tzinfo=UTC)
    assert oldest.counted == sum(each.counted for each in oldest.figures if each.kind == "facets")
    assert all(each.proved_at is not None for each in found.tenants[1:])
    whole = min(each.as_of for each in status.read(tools).freshness)
    assert whole == oldest.as_of, "status and the page tell the same age"


def test_tenants_are_searched_sorted_and_paged(tools: Tools) -> None:
    go("precompute_facets", tools)
    keys = [each.tenant for each in page(tools, sort="tenant").tenants]
    assert keys == sorted(keys, key=int)
    found = page(tools, search="1", sort="tenant", limit=2, offset=2)
    matching = [key for key in keys if "1" in key]
    assert ([each.tenant for each in found.tenants], found.total) == (matching[2:4], len(matching))
    sizes = [each.counted for each in page(tools, sort="counted").tenants]
    assert sizes == sorted(sizes, reverse=True)
    assert page(tools, search="no such").tenants == ()
    assert page(tools, search="%").total == 0, "what is searched for is no pattern"


@pytest.mark.parametrize(
    "asked",
    [{"sort": "as_of; DROP"}, {"limit": 0}, {"limit": 1000}, {"offset": -1}, {"search": "a\0"}],
)
def test_a_page_that_makes_no_sense_is_refused(tools: Tools, asked: dict[str, Any]) -> None:
    with pytest.raises(errors.ParameterError):
        page(tools, **asked)


def test_without_an_audit_log_there_is_no_time_line(tools: Tools) -> None:
    found: Overview = overview.read(without(tools, "audit"))
    assert (found.timeline, found.status.audit, found.minimum_runway_days) == ((), None, None)


def test_a_long_ledger_is_not_read_for_the_last_runs(tools: Tools) -> None:
    """However many runs there are, an index leads to the last ones of each job."""
    execute(
        tools.engine,
        "INSERT INTO crm_ops.run (job, state, started_by, request, started_at, finished_at)"
        " SELECT 'precompute_facets', 'success', 'a test', '{}', now(), now()"
        " FROM generate_series(1, 20000)",
        "ANALYZE crm_ops.run",
    )
    load = statements.load("crm_ops.jobs")
    with database.transaction(tools.engine) as connection:
        for name in ("last_runs", "trend"):
            plan = sql.run(
                connection, f"EXPLAIN {load[name]}", jobs=list(registry.JOBS), most=trend.MOST
            )
            assert "Seq Scan on run" not in "\n".join(plan.scalars()), name
