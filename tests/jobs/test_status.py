"""How things stand is read from the ledger and the figures' own moments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from crm_ops.base.results import Done, State
from crm_ops.jobs import ledger, registry, status
from crm_ops.jobs.work import Request, Tools
from tests.jobs.conftest import execute, go, without


def test_before_any_run_nothing_is_well(tools: Tools) -> None:
    found = status.read(tools)
    assert found.jobs == dict.fromkeys(registry.JOBS)
    assert found.freshness == ()
    assert not found.healthy


def test_after_all_four_all_is_well_and_every_figure_has_its_moment(tools: Tools) -> None:
    began = tools.clock()
    results = {job: go(job, tools) for job in registry.JOBS}

    found = status.read(tools)

    assert found.healthy
    assert {job: run.figures_written for job, run in found.jobs.items() if run} == {
        job: done.figures_written for job, done in results.items()
    }
    assert {(each.kind, each.entity): each.tenants for each in found.freshness} == {
        **{("facets", entity): 13 for entity in ("lead", "deal", "account", "contact")},
        **{("aggregates", entity): 13 for entity in ("lead", "deal", "account")},
    }
    assert sum(each.counted for each in found.freshness if each.kind == "facets") == (
        results["precompute_facets"].rows_seen
    )
    assert all(began <= each.as_of <= tools.clock() for each in found.freshness)
    assert found.audit is not None
    assert found.audit.runway_days >= 89


def test_figures_are_as_old_as_their_oldest_tenant(tools: Tools) -> None:
    go("precompute_facets", tools)
    execute(
        tools.engine,
        "UPDATE crm_ops.refresh SET as_of = '2026-01-01' WHERE entity = 'lead' AND tenant = '7'",
    )
    found = {(each.kind, each.entity): each for each in status.read(tools).freshness}
    assert found["facets", "lead"].as_of.isoformat() == "2026-01-01T00:00:00+00:00"


def test_only_while_the_last_run_of_each_job_succeeded_all_is_well(tools: Tools) -> None:
    def end(job: str, state: State) -> None:
        now = tools.clock()
        run_id = ledger.begin(tools.engine, job, Request(), started_by="a test", now=now)
        ledger.finish(tools.engine, run_id, Done(), state=state, error=None, now=now)

    for job in registry.JOBS:
        end(job, "success")
    assert status.read(tools).healthy
    states: tuple[State, ...] = ("failed", "partial")
    for state in states:
        end("warm_caches", state)
        assert not status.read(tools).healthy
        end("warm_caches", "success")
        assert status.read(tools).healthy


def test_without_an_audit_log_there_is_nothing_to_say_of_it(tools: Tools) -> None:
    assert status.read(without(tools, "audit")).audit is None


def test_a_database_without_our_schema_is_told_what_to_do(
    tools: Tools, database: sa.Engine
) -> None:
    with pytest.raises(errors.SettingsError, match="run `crm-ops migrate`"):
        status.read(replace(tools, engine=database))
