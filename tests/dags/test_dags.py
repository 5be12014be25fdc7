"""The four DAG files, by the rules of Astro's template and by ours."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import find_dag_file_paths

from crm_ops.base import errors
from crm_ops.catalog import load
from crm_ops.jobs import registry
from tests.dags.airflow_home import DAGS, ROOT

JOBS = sorted(registry.JOBS.values(), key=lambda job: job.dag_id)
IDS = [job.dag_id for job in JOBS]
TIMING = load.jobs(ROOT / "include" / "crm_ops.yaml")
SCHEDULES = {
    "precompute_search_facets": "*/5 * * * *",
    "precompute_report_aggregates": "*/10 * * * *",
    "audit_log_maintenance": "0 2 * * *",
    "warm_caches": "0 3 * * *",
}

POOLS = {"workflow_io", "workflow_cpu", "workflow_default"}

each_job = pytest.mark.parametrize("job", JOBS, ids=IDS)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """What Airflow finds in the folder `dags`."""
    return DagBag(str(DAGS), known_pools=POOLS)


def test_every_file_is_imported_and_every_pool_is_known(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert bag.dag_warnings == set()
    assert sorted(bag.dags) == IDS == sorted(SCHEDULES)
    assert sorted(path.stem for path in DAGS.glob("*.py")) == IDS


@each_job
def test_a_dag_has_what_astro_asks_for(bag: DagBag, job: registry.Job) -> None:
    dag = bag.dags[job.dag_id]
    assert dag.tags == set(job.tags)
    assert dag.default_args["retries"] >= 2
    assert all(task.retries >= 2 for task in dag.tasks)
    assert dag.catchup is False


@each_job
def test_a_dag_runs_when_and_where_the_catalog_says(bag: DagBag, job: registry.Job) -> None:
    dag, timing = bag.dags[job.dag_id], getattr(TIMING, job.name)
    assert dag.timetable.expression == timing.schedule == SCHEDULES[job.dag_id]
    assert str(dag.timetable.timezone) == "UTC"
    assert dag.start_date is None, "with one, a run would start as soon as the DAG is unpaused"
    assert dag.dagrun_timeout == timedelta(minutes=timing.timeout_minutes)
    pools = {task.task_id: task.pool for task in dag.tasks}
    heavy = {stage.name: stage.pool for stage in job.stages if stage.pool}
    assert pools == {**dict.fromkeys(pools, timing.pool), **heavy}
    assert all(task.queue == task.pool for task in dag.tasks)
    assert {task.executor for task in dag.tasks} == {None}, "a DAG runs with any executor"


@each_job
def test_a_dag_runs_one_at_a_time_and_failures_do_not_pause_it(
    bag: DagBag, job: registry.Job
) -> None:
    dag = bag.dags[job.dag_id]
    assert dag.max_active_runs == 1
    assert dag.max_consecutive_failed_dag_runs == 0
    assert dag.is_paused_upon_creation is None, "Airflow's own setting decides"


@each_job
def test_a_task_is_tried_again_later_and_later_unless_that_is_useless(
    bag: DagBag, job: registry.Job
) -> None:
    for task in bag.dags[job.dag_id].tasks:
        assert task.owner == "crm-ops"
        assert task.retry_exponential_backoff == 2.0
        assert task.max_retry_delay == timedelta(minutes=5)

        def action(error: Exception, task: Any = task) -> RetryAction:
            return task.retry_policy.evaluate(error, 1, 2).action

        assert action(errors.DatabaseBusy()) is RetryAction.DEFAULT
        assert action(errors.RedisUnavailable()) is RetryAction.DEFAULT
        assert action(errors.TenantsFailed({"1": "it broke"})) is RetryAction.DEFAULT
        assert action(errors.ParameterError()) is RetryAction.FAIL
        assert action(errors.Drift()) is RetryAction.FAIL
        assert action(errors.CatalogError(["x"])) is RetryAction.FAIL
        assert action(errors.PermissionMissing()) is RetryAction.FAIL
        assert action(errors.SettingsError()) is RetryAction.FAIL


@each_job
def test_the_report_alone_decides_a_run_and_updates_its_asset(
    bag: DagBag, job: registry.Job
) -> None:
    dag = bag.dags[job.dag_id]
    assert [task.task_id for task in dag.leaves] == ["report"]
    assert dag.get_task("report").trigger_rule == "all_done"
    outlets = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks}
    assert outlets.pop("report") == [f"crm_ops_{job.name}"]
    assert not any(outlets.values())


def test_batches_run_side_by_side(bag: DagBag) -> None:
    for job in JOBS:
        if not job.stages:
            dag = bag.dags[job.dag_id]
            assert [task.task_id for task in dag.topological_sort()] == ["plan", "work", "report"]
            work = dag.get_task("work")
            assert work.is_mapped
            assert work.max_active_tis_per_dagrun is None


def test_the_audit_log_is_kept_in_stages_creation_first(bag: DagBag) -> None:
    dag = bag.dags["audit_log_maintenance"]
    order = ["plan", "ensure", "expire", "archive", "verify", "drop", "report"]
    for before, after in itertools.pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids
    assert set(order) == set(dag.task_ids)
    of_each_month = [dag.get_task(name) for name in ("expire", "archive", "verify", "drop")]
    assert {task.task_group.group_id for task in of_each_month} == {"retire"}
    assert [task.max_active_tis_per_dagrun for task in of_each_month] == [1, None, None, 1]
    assert dag.get_task("archive").pool == "workflow_cpu"


@each_job
def test_a_dag_has_a_deadline_that_airflow_can_announce(bag: DagBag, job: registry.Job) -> None:
    (alert,) = bag.dags[job.dag_id].deadline
    minutes = getattr(TIMING, job.name).deadline_minutes
    assert alert.name == f"{job.dag_id} is late"
    assert alert.interval == timedelta(minutes=minutes)
    assert alert.reference.reference_name == "DagRunQueuedAtDeadline"
    assert alert.callback.kwargs == {"job": job.name, "event": "late"}
    assert import_string(alert.callback.path).__name__ == "Announce"


@each_job
def test_a_failed_run_is_announced_by_the_same_notifier(bag: DagBag, job: registry.Job) -> None:
    announce = bag.dags[job.dag_id].on_failure_callback
    assert isinstance(announce, import_string(bag.dags[job.dag_id].deadline[0].callback.path))
    assert (announce.job, announce.event) == (job.name, "failed")


@each_job
def test_the_page_of_a_dag_says_what_it_is_for_and_what_to_do(
    bag: DagBag, job: registry.Job
) -> None:
    page = bag.dags[job.dag_id].doc_md
    for said in ("`report`", "## Parameters", "## When it fails", f"jobs.{job.name}", "README.md"):
        assert said in page
    assert f"crm_ops_{job.name}" in page
    assert bag.dags[job.dag_id].description == job.summary


GOOD = [
    {},
    {"entities": ["lead", "deal"], "tenants": ["1", "2"], "dry_run": True},
    {"entities": None, "tenants": None},
]
BAD = [
    {"entities": ["leed"]},
    {"entities": "lead"},
    {"tenants": [1]},
    {"tenants": [""]},
    {"dry_run": "yes"},
    {"dry_run": None},
]


def parameters(dag: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What Airflow makes of a trigger's `conf`."""
    params = copy.deepcopy(dag.params)
    params.update(given)
    return dict(params.validate())


@each_job
def test_a_run_without_parameters_concerns_everything(bag: DagBag, job: registry.Job) -> None:
    everything = {"entities": [], "tenants": [], "dry_run": False, "mode": "auto"}
    assert parameters(bag.dags[job.dag_id], {}) == everything


@each_job
@pytest.mark.parametrize("given", GOOD, ids=json.dumps)
def test_the_form_accepts(bag: DagBag, job: registry.Job, given: dict[str, Any]) -> None:
    assert parameters(bag.dags[job.dag_id], given).items() >= given.items()


@each_job
@pytest.mark.parametrize("given", BAD, ids=json.dumps)
def test_the_form_refuses(bag: DagBag, job: registry.Job, given: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        parameters(bag.dags[job.dag_id], given)


@each_job
def test_only_jobs_that_make_figures_can_be_asked_to_verify_them(
    bag: DagBag, job: registry.Job
) -> None:
    dag = bag.dags[job.dag_id]
    if job.name in ("precompute_facets", "precompute_aggregates"):
        assert parameters(dag, {"mode": "verify"})["mode"] == "verify"
    else:
        with pytest.raises(ParamValidationError):
            parameters(dag, {"mode": "verify"})


@each_job
def test_the_form_offers_the_entities_of_the_catalog(bag: DagBag, job: registry.Job) -> None:
    entities = bag.dags[job.dag_id].params.get_param("entities")
    declared = list(load.load(ROOT / "include" / "crm_ops.yaml").catalog.entities)
    assert entities.schema["examples"] == entities.schema["items"]["enum"] == declared
    whole_table = "audit log is one table" in entities.description
    assert whole_table is (job.name == "audit_maintenance")


def test_a_dag_is_the_same_whenever_it_is_parsed() -> None:
    """Else Airflow would store a new version of it every time."""

    def parsed(at: datetime) -> dict[str, Any]:
        with time_machine.travel(at, tick=True):
            dags = DagBag(str(DAGS)).dags
        return {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in dags.items()}

    assert parsed(datetime(2026, 1, 1, tzinfo=UTC)) == parsed(datetime(2027, 7, 7, tzinfo=UTC))


# Run in a new process, in which every way out of it is an error.
ALONE = """
import runpy, socket, sys, time
import airflow.sdk

def refused(*_, **__):
    raise AssertionError("a DAG file reaches out while it is parsed")

airflow.sdk.Variable.get = airflow.sdk.Connection.get = refused
socket.socket.connect = socket.getaddrinfo = refused
for file in sys.argv[1:]:
    before = time.perf_counter()
    runpy.run_path(file)
    print(file, "parsed in", round((time.perf_counter() - before) * 1000), "ms")
heavy = {"redis", "psycopg", "psycopg2", "alembic", "crm_ops.fold", "crm_ops.base.database",
         "airflow.providers.postgres.hooks.postgres", "airflow.providers.redis.hooks.redis"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""


def test_parsing_is_light_and_reaches_nothing(tmp_path: Path) -> None:
    """No database, no network, no variable, no connection, no driver, no hook."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, sorted(DAGS.glob("*.py")))],
        env={
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/airflow.db",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr


def test_a_wrong_catalog_is_an_import_error_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "include" / "crm_ops.yaml").read_text().replace('"*/5 * * * *"', "often", 1)
    wrong = tmp_path / "crm_ops.yaml"
    wrong.write_text(text)
    monkeypatch.setenv("CRM_OPS_CATALOG", str(wrong))
    line = text[: text.index("often")].count("\n") + 1
    found = DagBag(str(DAGS)).import_errors
    assert len(found) == 4
    place = f"{wrong}:{line}: jobs.precompute_facets.schedule"
    assert all(place in said for said in found.values())


def test_airflow_finds_the_files_by_their_words() -> None:
    """In safe mode it reads only files that hold the words dag and airflow."""
    assert len(find_dag_file_paths(str(DAGS), safe_mode=True)) == len(JOBS)
