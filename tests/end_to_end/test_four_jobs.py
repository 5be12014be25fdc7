"""The four jobs through a real scheduler, on real data: what Airflow, the ledger and SQL say."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, names, rest, sql, store
from crm_ops.base.results import JobResult
from crm_ops.jobs import ledger, registry
from crm_ops.local import up

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

AUDIT = registry.JOBS["audit_maintenance"].dag_id
FACETS = registry.JOBS["precompute_facets"].dag_id


@pytest.fixture(scope="module")
def results(stack: up.Stack) -> dict[str, JobResult]:
    """What each job did, run once with all the others."""
    ran = stack.run({name: job.dag_id for name, job in registry.JOBS.items()})
    return {result.job: result for result in ran}


@pytest.fixture(scope="module")
def get(stack: up.Stack) -> Any:
    """Asks Airflow's REST API."""
    headers = {"Authorization": f"Bearer {stack.airflow.token()}"}
    with httpx.Client(base_url=f"{stack.url}/api/v2", headers=headers, trust_env=False) as client:

        def ask(path: str) -> Any:
            answer = client.get(path)
            assert answer.is_success, answer.text
            return answer.json()

        yield ask


def rows(engine: sa.Engine, text: str) -> list[tuple[Any, ...]]:
    with database.transaction(engine) as connection:
        return [tuple(row) for row in sql.run(connection, text)]


def triggered(stack: up.Stack, dag_id: str, conf: dict[str, Any]) -> rest.Run:
    """A run with these parameters, when it has ended."""
    run_id = f"test__{time.time_ns()}"
    stack.airflow.trigger(dag_id, run_id, conf)
    until = time.monotonic() + 300
    while time.monotonic() < until:
        run = stack.airflow.runs(run_id)[dag_id]
        if run.ended:
            return run
        time.sleep(0.2)
    raise AssertionError(f"{dag_id} did not end")


def test_all_four_succeed_and_say_what_they_did(results: dict[str, JobResult]) -> None:
    assert {job: (each.state, each.error) for job, each in results.items()} == dict.fromkeys(
        registry.JOBS, ("success", None)
    )
    for each in results.values():
        assert each.rows_seen > 0, each
        assert each.took_ms > 0, each


def test_the_ledger_has_what_airflow_was_told(
    stack: up.Stack, results: dict[str, JobResult], get: Any
) -> None:
    """The task `report` returns the figures; the asset's event carries them."""
    events = get("/assets/events?limit=100")["asset_events"]
    for job, last in ledger.last_runs(stack.engine).items():
        run_id = last.started_by.removeprefix("airflow ")
        path = f"/dags/{registry.named(job).dag_id}/dagRuns/{run_id}"
        told = get(f"{path}/taskInstances/report/xcomEntries/return_value")["value"]
        assert told["rows_seen"] == last.rows_seen
        assert told["figures_written"] == last.figures_written
        said = [
            event["extra"]["rows_seen"]
            for event in events
            if (event["source_run_id"], event["name"]) == (run_id, f"crm_ops_{job}")
        ]
        assert said == [last.rows_seen]


LIVE = "SELECT id FROM crm.company WHERE is_active"
ENTITIES = ("lead", "deal", "account", "contact")


def test_the_rows_seen_are_the_rows_there(stack: up.Stack, results: dict[str, JobResult]) -> None:
    counted = sum(
        rows(
            stack.engine,
            f"SELECT count(*) FROM crm.{entity}"
            f" WHERE deleted_at IS NULL AND company_id IN ({LIVE})",
        )[0][0]
        for entity in ENTITIES
    )
    assert results["precompute_facets"].rows_seen == counted
    tenants = rows(stack.engine, f"SELECT count(*) FROM ({LIVE}) AS live")[0][0]
    assert results["precompute_facets"].tenants == tenants


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("facet", ["status", "priority"])
def test_the_facet_counts_are_a_recount(
    stack: up.Stack, results: dict[str, JobResult], entity: str, facet: str
) -> None:
    recounted = rows(
        stack.engine,
        f"SELECT company_id::text, {facet}, count(*) FROM crm.{entity}"
        f" WHERE deleted_at IS NULL AND company_id IN ({LIVE}) GROUP BY 1, 2",
    )
    stored = rows(
        stack.engine,
        "SELECT tenant, bucket, n FROM crm_ops.facet_count"
        f" WHERE entity = '{entity}' AND facet = '{facet}'",
    )
    assert len(stored) > 0
    assert set(stored) == set(recounted)


def test_the_deals_by_stage_are_a_recount(stack: up.Stack, results: dict[str, JobResult]) -> None:
    recounted = rows(
        stack.engine,
        "SELECT company_id::text, stage, currency, count(*), count(amount), sum(amount),"
        " min(amount), max(amount) FROM crm.deal"
        f" WHERE deleted_at IS NULL AND company_id IN ({LIVE}) GROUP BY 1, 2, 3",
    )
    stored = rows(
        stack.engine,
        "SELECT tenant, dimensions[1], dimensions[2], whole.n, of_amount.n, of_amount.total,"
        " of_amount.low, of_amount.high"
        " FROM crm_ops.aggregate AS whole"
        " JOIN crm_ops.aggregate AS of_amount USING (aggregate, tenant, dimensions)"
        " WHERE aggregate = 'deals_by_stage' AND whole.measured = ''"
        " AND of_amount.measured = 'amount'",
    )
    assert len(stored) > 0
    assert set(stored) == set(recounted)


def test_the_months_ahead_are_there(stack: up.Stack, results: dict[str, JobResult]) -> None:
    ahead = rows(
        stack.engine,
        "SELECT count(*) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'crm.audit_log'::regclass"
        " AND pg_get_expr(relpartbound, pg_class.oid)"
        " LIKE '%%FROM (''' || to_char(now() + interval '3 months', 'YYYY-MM') || '-01%%'",
    )
    assert ahead == [(1,)]


def test_every_task_ran_in_its_pool_and_a_batch_has_a_name(
    stack: up.Stack, results: dict[str, JobResult], get: Any
) -> None:
    pools = {"workflow_io", "workflow_cpu", "workflow_default"}
    assert pools <= {pool["name"] for pool in get("/pools")["pools"]}
    last = ledger.last_runs(stack.engine)["precompute_facets"]
    run_id = last.started_by.removeprefix("airflow ")
    tasks = get(f"/dags/{FACETS}/dagRuns/{run_id}/taskInstances")["task_instances"]
    assert {task["pool"] for task in tasks} == {"workflow_cpu"}
    named = [task["rendered_map_index"] for task in tasks if task["task_id"] == "work"]
    assert sorted(name.split(":")[0] for name in named) == sorted(ENTITIES)


def test_the_audit_log_is_kept_in_stages_each_with_figures(
    stack: up.Stack, results: dict[str, JobResult], get: Any
) -> None:
    """A month long expired is taken through all of them by the scheduler."""
    with database.transaction(stack.engine) as connection:
        for text in (
            "CREATE TABLE crm.audit_log_long_ago PARTITION OF crm.audit_log"
            " FOR VALUES FROM ('2001-02-01 00:00+00') TO ('2001-03-01 00:00+00')",
            "INSERT INTO crm.audit_log SELECT (json_populate_record(log,"
            ' \'{"created_at": "2001-02-03"}\')).* FROM crm.audit_log AS log LIMIT 7',
        ):
            sql.run(connection, text)

    run = triggered(stack, AUDIT, {})

    assert run.state == "success"
    path = f"/dags/{AUDIT}/dagRuns/{run.run_id}/taskInstances"
    tasks = {
        task["task_id"]: task
        for task in get(path)["task_instances"]
        if task["map_index"] < 0 or "long_ago" in task["rendered_map_index"]
    }
    stages = ["plan", "ensure", "expire", "archive", "verify", "drop", "report"]
    assert {name: tasks[name]["state"] for name in tasks} == dict.fromkeys(stages, "success")
    assert tasks["archive"]["pool"] == tasks["verify"]["pool"] == "workflow_cpu"
    began = [tasks[name]["start_date"] for name in stages]
    assert began == sorted(began)
    assert tasks["archive"]["rendered_map_index"] == "2001-02, audit_log_long_ago"
    index = tasks["archive"]["map_index"]
    told = get(f"{path}/archive/xcomEntries/return_value?map_index={index}")["value"]
    assert told["details"]["exported_rows"] == 7


def test_a_dry_run_of_one_tenant_sees_it_and_writes_nothing(
    stack: up.Stack, results: dict[str, JobResult], get: Any
) -> None:
    before = rows(stack.engine, "SELECT * FROM crm_ops.refresh ORDER BY 1, 2, 3")
    asked = {"entities": ["lead"], "tenants": ["1"], "dry_run": True}
    run = triggered(stack, FACETS, asked)
    assert run.state == "success"
    last = ledger.last_runs(stack.engine)["precompute_facets"]
    there = rows(
        stack.engine,
        "SELECT count(*) FROM crm.lead WHERE deleted_at IS NULL AND company_id = 1",
    )
    assert [(last.rows_seen,)] == there
    assert rows(stack.engine, "SELECT * FROM crm_ops.refresh ORDER BY 1, 2, 3") == before
    events = get("/assets/events?limit=100")["asset_events"]
    assert run.run_id not in {event["source_run_id"] for event in events}


@pytest.mark.parametrize("conf", [{"entities": ["leed"]}, {"dry_run": "yes"}, {"tenants": [1]}])
def test_a_wrong_parameter_is_refused_before_anything_runs(
    stack: up.Stack, conf: dict[str, Any]
) -> None:
    with pytest.raises(errors.ParameterError, match=r": 400 .*Invalid input for param"):
        stack.airflow.trigger(FACETS, f"test__{time.time_ns()}", conf)


def test_a_parameter_nobody_knows_fails_the_run_at_once(stack: up.Stack) -> None:
    run = triggered(stack, FACETS, {"dryrun": True})
    assert run.state == "failed"
    tries = {task.task_id: task.state for task in stack.airflow.tasks(run)}
    assert tries == {"plan": "failed", "work": "upstream_failed", "report": "failed"}


def test_redis_holds_what_was_counted(stack: up.Stack, results: dict[str, JobResult]) -> None:
    with store.client(stack.services.redis_url) as client:
        assert client.exists(names.facets_key("lead", "1")) == 1
