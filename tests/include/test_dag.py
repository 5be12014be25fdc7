"""A whole DAG run, in one process, with a stand-in for the job's own work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk.definitions.mappedoperator import MappedOperator

from crm_ops.jobs import ledger
from crm_ops.schema import migrate
from include import dag
from tests.include.stand_in import StandIn

# What Airflow's own test client says of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with")

Run = Callable[[dict[str, Any]], Any]


@pytest.fixture
def run(metadata: None, database: sa.Engine, connected: None, job: StandIn) -> Run:
    """Runs the DAG of the facets with parameters, and returns the run as it ended."""
    migrate.upgrade(database)
    made = dag.make("precompute_facets", __doc__)
    # Airflow 3.3.2 looks for the deadlines of a run in one process where there are none.
    made.deadline = None
    for task in made.tasks:
        # A second try would wait.
        if isinstance(task, MappedOperator):
            task.partial_kwargs["retries"] = 0
        else:
            task.retries = 0
    return lambda conf: made.test(run_conf=conf)


def states(run: Any) -> dict[str, str]:
    """The state of each task, a mapped one by the name it has in the UI."""
    return {ti.rendered_map_index or ti.task_id: ti.state for ti in run.get_task_instances()}


def test_a_run_does_each_batch_and_reports(run: Run, database: sa.Engine) -> None:
    ended = run({"dry_run": True})
    assert states(ended) == {
        "plan": "success",
        "lead: batch 1": "success",
        "lead: batch 2": "success",
        "report": "success",
    }
    assert ended.state == "success"
    last = ledger.last_runs(database)["precompute_facets"]
    assert (last.state, last.rows_seen, last.figures_written) == ("success", 20, 0)


def test_a_failed_tenant_fails_the_run_after_the_others_were_done(
    run: Run, job: StandIn, database: sa.Engine
) -> None:
    job.failures = {1: {"7": "it broke"}}
    ended = run({})
    assert states(ended) == {
        "plan": "success",
        "lead: batch 1": "failed",
        "lead: batch 2": "success",
        "report": "failed",
    }
    assert ended.state == "failed"
    last = ledger.last_runs(database)["precompute_facets"]
    assert (last.state, last.rows_seen, last.figures_written) == ("partial", 20, 6)


def test_a_run_that_cannot_be_planned_fails(run: Run) -> None:
    ended = run({"dryrun": True})
    assert states(ended) == {"plan": "failed", "work": "upstream_failed", "report": "failed"}
    assert ended.state == "failed"
