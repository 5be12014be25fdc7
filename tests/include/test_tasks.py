"""The three tasks, run as Airflow runs them, on a real ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from crm_ops.base import errors
from crm_ops.jobs import ledger
from crm_ops.local import ports
from crm_ops.schema import migrate
from include import tasks
from tests.include.stand_in import StandIn

NOTHING_CHOSEN = {"entities": [], "tenants": [], "dry_run": False, "mode": "auto"}
ASSET = Asset("crm_ops_precompute_facets")


class Messages:
    """The part of a task instance that hands values on."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.values[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self.values.get(key) if task_ids == "plan" else None


class States:
    """The state that Airflow keeps of an asset."""

    def set(self, _key: str, value: Any) -> None:
        json.dumps(value)


@pytest.fixture
def crm(database: sa.Engine, connected: None) -> sa.Engine:
    """A database with our tables, that Airflow's connection leads to."""
    migrate.upgrade(database)
    return database


def plan(ti: Messages, **params: Any) -> list[dict[str, Any]]:
    return tasks.plan("precompute_facets", {**NOTHING_CHOSEN, **params}, "manual__1", ti)


def report(ti: Messages, **params: Any) -> tuple[dict[str, Any], dict[Asset, Any]]:
    """What the task returns, and what it says of which asset."""
    outlets, events = [ASSET], defaultdict(SimpleNamespace)
    asked = {**NOTHING_CHOSEN, **params}
    figures = tasks.report(asked, ti, "manual__1", outlets, events, {ASSET: States()})
    return figures, {asset: events[asset].extra for asset in outlets}


def test_a_run_is_planned_done_and_reported(crm: sa.Engine, job: StandIn) -> None:
    ti = Messages()
    batches = plan(ti)
    assert [batch["label"] for batch in batches] == ["lead: batch 1", "lead: batch 2"]
    done = [tasks.work(batch) for batch in batches]
    assert [each["rows_seen"] for each in done] == [10, 10]
    figures, said = report(ti)
    assert figures["state"] == "success"
    assert (figures["rows_seen"], figures["figures_written"]) == (20, 6)
    assert said == {ASSET: figures}

    last = ledger.last_runs(crm)["precompute_facets"]
    assert last.started_by == "airflow manual__1"
    assert (last.state, last.rows_seen, last.figures_written) == ("success", 20, 6)
    json.dumps([batches, done, figures])  # what Airflow hands from task to task


def test_the_parameters_reach_the_job(crm: sa.Engine, job: StandIn) -> None:
    plan(Messages(), entities=["lead"], tenants=["7"], dry_run=True)
    assert job.asked is not None
    assert job.asked.entities == ("lead",)
    assert job.asked.tenants == ("7",)
    assert job.asked.dry_run is True


def test_an_empty_field_of_the_form_means_all(crm: sa.Engine, job: StandIn) -> None:
    plan(Messages(), entities=None, tenants=None)
    assert job.asked is not None
    assert (job.asked.entities, job.asked.tenants) == ((), ())


def test_a_parameter_that_is_not_there_stops_the_run_before_it_begins(
    crm: sa.Engine, job: StandIn
) -> None:
    """A misspelt dry run must not become a real one."""
    with pytest.raises(errors.ParameterError, match="no parameter dryrun; there are entities"):
        plan(Messages(), dryrun=True)
    assert ledger.last_runs(crm) == {}


def test_a_dry_run_updates_no_asset(crm: sa.Engine, job: StandIn) -> None:
    ti = Messages()
    for batch in plan(ti, dry_run=True):
        tasks.work(batch)
    figures, said = report(ti, dry_run=True)
    assert (figures["rows_seen"], figures["figures_written"]) == (20, 0)
    assert said == {}


def test_a_failed_tenant_fails_its_batch_and_the_report_names_it(
    crm: sa.Engine, job: StandIn
) -> None:
    job.failures = {1: {"7": "it broke"}}
    ti = Messages()
    first, second = plan(ti)
    with pytest.raises(errors.TenantsFailed, match="7: it broke"):
        tasks.work(first)
    tasks.work(second)
    # Not tried again: the ledger would say the same.
    with pytest.raises(AirflowFailException, match="7: it broke"):
        report(ti)
    assert ledger.last_runs(crm)["precompute_facets"].state == "partial"


def test_a_second_try_makes_good(crm: sa.Engine, job: StandIn) -> None:
    job.failures = {1: {"7": "it broke"}}
    ti = Messages()
    first, second = plan(ti)
    tasks.work(second)
    with pytest.raises(errors.TenantsFailed):
        tasks.work(first)
    job.failures = {}
    tasks.work(first)
    assert report(ti)[0]["state"] == "success"


def test_a_batch_that_never_ended_fails_the_report(crm: sa.Engine, job: StandIn) -> None:
    ti = Messages()
    first, _second = plan(ti)
    tasks.work(first)
    with pytest.raises(AirflowFailException, match="lead: batch 2: did not finish"):
        report(ti)


def test_a_report_without_a_plan_says_where_to_look(connected: None) -> None:
    with pytest.raises(AirflowFailException, match="log of the task `plan`"):
        report(Messages())


def test_a_redis_that_is_away_stops_the_plan(
    crm: sa.Engine,
    job: StandIn,
    connect: Any,
    redis_connection: dict[str, object],
) -> None:
    connect("crm_redis", {**redis_connection, "port": ports.any_free()})
    with pytest.raises(errors.RedisUnavailable, match="connection crm_redis"):
        plan(Messages())
    assert ledger.last_runs(crm)["precompute_facets"].state == "failed"


def test_a_postgres_that_is_away_stops_the_plan(
    job: StandIn,
    connected: None,
    connect: Any,
    postgres_connection: dict[str, object],
) -> None:
    away = {**postgres_connection, "port": ports.any_free(), "password": "its-secret"}
    connect("crm_postgres", away)
    with pytest.raises(errors.DatabaseUnavailable, match="connection crm_postgres") as caught:
        plan(Messages())
    assert "its-secret" not in str(caught.value)


def test_a_wrong_catalog_stops_the_plan(
    crm: sa.Engine, job: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_OPS_CATALOG", "/nonexistent.yaml")
    with pytest.raises(errors.CatalogError, match="no such file"):
        plan(Messages())
