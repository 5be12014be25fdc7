"""Every run is in the ledger: what it was asked, saw, did, took, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from crm_ops.base import errors
from crm_ops.base import store as stores
from crm_ops.base.results import Done
from crm_ops.jobs import ledger
from crm_ops.jobs.work import Request, Tools
from tests.jobs.conftest import NOWHERE_REDIS, execute, go, rows

RUNS = """
SELECT job, state, started_by, request, tenants, rows_seen, figures_written, took_ms, error
FROM crm_ops.run ORDER BY id
"""


def test_a_run_s_row_says_what_the_run_said(tools: Tools) -> None:
    done = go("precompute_facets", tools, entities=("lead",), tenants=("1", "2"))

    assert rows(tools.engine, RUNS) == [
        (
            "precompute_facets",
            "success",
            "a test",
            {"entities": ["lead"], "tenants": ["1", "2"], "dry_run": False, "mode": "auto"},
            2,
            done.rows_seen,
            done.figures_written,
            done.took_ms,
            None,
        )
    ]
    (times,) = rows(
        tools.engine, "SELECT finished_at - started_at, details->'rows.lead' FROM crm_ops.run"
    )
    assert abs(times[0].total_seconds() * 1000 - done.took_ms) <= 1
    assert times[1] == done.rows_seen


def test_its_batches_are_kept_with_what_each_did(changed: Callable[..., Tools]) -> None:
    tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 200"))
    done = go("precompute_facets", tools, entities=("lead",))

    batches = rows(
        tools.engine,
        "SELECT number, state, tenants, rows_seen, figures_written, work->>'entity'"
        " FROM crm_ops.batch ORDER BY number",
    )
    assert [number for number, *_ in batches] == list(range(1, len(batches) + 1))
    assert {(state, entity) for _, state, *_, entity in batches} == {("success", "lead")}
    assert sum(each[2] for each in batches) == done.tenants
    assert sum(each[3] for each in batches) == done.rows_seen
    assert sum(each[4] for each in batches) == done.figures_written


def test_a_run_that_could_not_begin_is_there_with_its_error(tools: Tools) -> None:
    with pytest.raises(errors.RedisUnavailable):
        go("precompute_facets", replace(tools, redis=stores.client(NOWHERE_REDIS)))
    with pytest.raises(errors.ParameterError):
        go("warm_caches", tools, tenants=("13",))

    (first, second) = rows(tools.engine, RUNS)
    assert (first[0], first[1]) == ("precompute_facets", "failed")
    assert "Redis at 127.0.0.1:1/0" in first[-1]
    assert "s3cret" not in first[-1]
    assert (second[0], second[1]) == ("warm_caches", "failed")
    assert "no active tenant is called 13" in second[-1]


def test_a_run_that_was_killed_is_closed_as_failed_by_the_next(tools: Tools) -> None:
    now = tools.clock()

    def begin(job: str, before: timedelta) -> int:
        return ledger.begin(tools.engine, job, Request(), started_by="a test", now=now - before)

    killed = begin("precompute_facets", timedelta(hours=25))
    going_on = begin("precompute_facets", timedelta(hours=23))
    other = begin("warm_caches", timedelta(hours=25))

    go("precompute_facets", tools)

    states = {
        row[0]: row[1:] for row in rows(tools.engine, "SELECT id, state, error FROM crm_ops.run")
    }
    assert states[killed][0] == "failed"
    assert "never ended" in states[killed][1]
    assert states[going_on] == ("running", None)
    assert states[other] == ("running", None)


def test_a_run_that_airflow_ended_is_closed_by_the_next_in_airflow(tools: Tools) -> None:
    def begin(job: str, started_by: str) -> int:
        return ledger.begin(tools.engine, job, Request(), started_by=started_by, now=tools.clock())

    ended = begin("precompute_facets", "airflow scheduled__1")
    by_hand = begin("precompute_facets", "crm-ops run (a test)")
    other = begin("warm_caches", "airflow scheduled__1")
    now = begin("precompute_facets", "airflow scheduled__2")

    found = dict(rows(tools.engine, "SELECT id, state FROM crm_ops.run"))
    assert found == {ended: "failed", by_hand: "running", other: "running", now: "running"}


def test_a_run_that_is_closed_twice_stays_the_same(tools: Tools) -> None:
    run_id = ledger.begin(
        tools.engine, "warm_caches", Request(), started_by="a test", now=tools.clock()
    )
    end = tools.clock() + timedelta(seconds=3)
    for _ in range(2):
        closed = ledger.finish(
            tools.engine, run_id, Done(7, 5, 1), state="partial", error="why", now=end
        )
    assert (closed.job, closed.state, closed.rows_seen) == ("warm_caches", "partial", 7)
    assert closed.error == "why"
    assert 3_000 <= closed.took_ms < 4_000


def test_a_clock_that_was_set_back_took_no_negative_time(tools: Tools) -> None:
    run_id = ledger.begin(
        tools.engine, "warm_caches", Request(), started_by="a test", now=tools.clock()
    )
    past = tools.clock() - timedelta(hours=1)
    closed = ledger.finish(tools.engine, run_id, Done(), state="success", error=None, now=past)
    assert closed.took_ms == 0


def test_an_unknown_run_is_told(tools: Tools) -> None:
    with pytest.raises(errors.ParameterError, match="the ledger has no run 77"):
        ledger.asked(tools.engine, 77)


def test_the_last_run_of_each_job_knows_the_last_success(tools: Tools) -> None:
    assert ledger.last_runs(tools.engine) == {}
    go("precompute_facets", tools)
    execute(tools.engine, "ALTER TABLE crm.deal DROP COLUMN stage")
    with pytest.raises(errors.CatalogError):
        go("precompute_facets", tools)

    (last,) = ledger.last_runs(tools.engine).values()
    assert (last.job, last.state) == ("precompute_facets", "failed")
    assert "crm.deal" in str(last.error)
    assert last.last_success_at is not None
    assert last.last_success_at <= last.started_at
