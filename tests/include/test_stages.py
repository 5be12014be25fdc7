"""A whole run of the audit log's DAG in one process, on a real audit log: what each task says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk.definitions.mappedoperator import MappedOperator

from crm_ops.jobs import ledger
from include import dag
from tests.audit import logs
from tests.cli.test_audit import CATALOG

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with")

Run = Callable[[], Any]


@pytest.fixture
def run(
    metadata: None,
    database: sa.Engine,
    connected: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs the DAG for a log with two expired months of 30 and 20 rows; returns it as it ended."""
    logs.create(database, ["2023-01", "2023-02", "2035-01"])
    logs.add(database, "2023-01-10", 30)
    logs.add(database, "2023-02-10", 20)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.format(grace=0))
    monkeypatch.setenv("CRM_OPS_CATALOG", str(catalog))
    made = dag.make("audit_maintenance", __doc__)
    made.deadline = None
    for task in made.tasks:
        # A second try would wait.
        if isinstance(task, MappedOperator):
            task.partial_kwargs["retries"] = 0
        else:
            task.retries = 0
    return made.test


def states(run: Any) -> dict[str, list[str]]:
    """The states of each task, of a mapped one by month."""
    found: dict[str, list[str]] = {}
    for each in sorted(run.get_task_instances(), key=lambda ti: ti.map_index):
        found.setdefault(each.task_id, []).append(each.state)
    return found


def test_every_stage_of_every_month_is_a_task_with_figures(run: Run, database: sa.Engine) -> None:
    ended = run()

    assert states(ended) == {
        "plan": ["success"],
        "ensure": ["success"],
        **{name: ["success"] * 2 for name in ("expire", "archive", "verify", "drop")},
        "report": ["success"],
    }
    named = {ti.rendered_map_index for ti in ended.get_task_instances() if ti.task_id == "archive"}
    assert named == {"2023-01, audit_log_p202301", "2023-02, audit_log_p202302"}
    last = ledger.last_runs(database)["audit_maintenance"]
    figures = ("detached_partitions", "exported_rows", "verified_rows", "dropped_rows")
    assert [last.details[name] for name in figures] == [2, 50, 50, 50]
    assert states(run())["archive"] == ["skipped"], "nothing is left to do"


def test_an_archive_that_fails_stops_neither_creation_nor_the_report(
    run: Run, database: sa.Engine, tmp_path: Path
) -> None:
    (tmp_path / "archive").write_text("a file where a folder must be")

    ended = states(run())

    assert ended["ensure"] == ["success"]
    assert ended["expire"] == ["success", "success"]
    assert ended["archive"] == ["failed", "failed"]
    assert ended["drop"] == ["upstream_failed", "upstream_failed"]
    assert ended["report"] == ["failed"]
    last = ledger.last_runs(database)["audit_maintenance"]
    assert last.details["created_partitions"] > 0
    assert last.details["runway_days"] > 45
    assert "cannot be used" in str(last.error)


def test_creation_that_fails_stops_no_retention(run: Run, database: sa.Engine) -> None:
    logs.run(
        database,
        "CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no more tables'; END$$",
    )
    logs.run(
        database,
        "CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE')"
        " EXECUTE FUNCTION public.no()",
    )

    ended = states(run())

    assert ended["ensure"] == ["failed"]
    assert ended["drop"] == ["success", "success"]
    assert ended["report"] == ["failed"]
