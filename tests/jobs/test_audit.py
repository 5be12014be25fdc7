"""The job `audit_maintenance` as it is run: its batches, its figures, what stops it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import errors, store
from crm_ops.catalog import load
from crm_ops.jobs import registry, run
from crm_ops.jobs.work import Request, Tools
from tests.audit import logs
from tests.cli.test_audit import CATALOG
from tests.jobs.conftest import without


@pytest.fixture
def tools(database: sa.Engine, tmp_path: Path) -> Tools:
    """For a log with a long expired month of 30 rows, two late rows and a recent one."""
    logs.create(database, ["2023-02", "2035-01"])
    logs.add(database, "2023-02-10", 30)
    logs.add(database, "2023-03-10", 2)
    logs.run(database, "INSERT INTO crm.audit_log (created_at) VALUES (now())")
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.format(grace=0))
    return Tools(
        loaded=load.load(catalog),
        engine=database,
        redis=store.client("redis://localhost:1/0"),
        clock=lambda: datetime.now(UTC),
    )


def test_a_night_creates_archives_and_drops_and_tells_each_in_figures(tools: Tools) -> None:
    done = run.run("audit_maintenance", Request(), tools, started_by="a test")

    assert done.state == "success", done.error
    figures = dict(done.details)
    assert figures["created_partitions"] == 4
    assert (figures["detached_partitions"], figures["late_rows"]) == (1, 2)
    assert (figures["exported_rows"], figures["verified_rows"]) == (32, 32)
    assert (figures["dropped_partitions"], figures["dropped_rows"]) == (2, 32)
    assert figures["runway_days"] >= 45
    again = run.run("audit_maintenance", Request(), tools, started_by="a test")
    assert (again.state, again.figures_written) == ("success", 0)


def test_every_stage_of_every_table_that_leaves_is_a_batch(tools: Tools) -> None:
    planned = run.plan("audit_maintenance", Request(), tools, started_by="a test")

    assert [each.label for each in planned.batches] == [
        "crm.audit_log: ensure the months ahead",
        "crm.audit_log: 2023-02, expire audit_log_p202302",
        "crm.audit_log: 2023-02, archive audit_log_p202302",
        "crm.audit_log: 2023-02, verify audit_log_p202302",
        "crm.audit_log: 2023-02, drop audit_log_p202302",
        "crm.audit_log: 2023-03, expire audit_log_p202303",
        "crm.audit_log: 2023-03, archive audit_log_p202303",
        "crm.audit_log: 2023-03, verify audit_log_p202303",
        "crm.audit_log: 2023-03, drop audit_log_p202303",
        "crm.audit_log: report",
    ]
    assert {each.stage for each in planned.batches} == {
        stage.name for stage in registry.JOBS["audit_maintenance"].stages
    }


def test_batches_in_any_order_lose_nothing_and_a_second_run_ends_what_is_left(
    tools: Tools,
) -> None:
    planned = run.plan("audit_maintenance", Request(), tools, started_by="a test")

    for batch in reversed(planned.batches):
        run.do(batch, tools)
    run.run("audit_maintenance", Request(), tools, started_by="a test")

    assert logs.count(tools.engine) == 1
    assert run.plan("audit_maintenance", Request(), tools, started_by="a test").batches[1:-1] == ()


def test_without_an_audit_log_in_the_catalog_there_is_nothing_to_do(tools: Tools) -> None:
    done = run.run("audit_maintenance", Request(), without(tools, "audit"), started_by="a test")

    assert (done.state, done.figures_written) == ("success", 0)
    assert done.details == {"undeclared": "audit"}
    assert logs.exists(tools.engine, "crm.audit_log_p202302")


def test_an_archive_that_cannot_be_written_stops_no_creation(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file where a folder must be")

    done = run.run("audit_maintenance", Request(), tools, started_by="a test")

    assert done.state == "failed"
    assert "cannot be used" in str(done.error)
    assert done.details["created_partitions"] == 4
    assert logs.exists(tools.engine, "crm.audit_log_p202302")


def test_the_first_night_begins_the_archive_and_each_later_one_looks_for_it(
    tools: Tools, tmp_path: Path
) -> None:
    logs.run(tools.engine, "DROP TABLE crm.audit_log_p202302", "DELETE FROM crm.audit_log_default")
    first = run.run("audit_maintenance", Request(), tools, started_by="a test")
    assert (first.state, "exported_rows" in first.details) == ("success", False), first.error
    assert [each.name for each in tmp_path.rglob("*.json")] == ["head.json"]

    (tmp_path / "archive").rename(tmp_path / "not-mounted")
    unmounted = run.run("audit_maintenance", Request(), tools, started_by="a test")

    assert unmounted.state == "failed"
    assert "is its disk mounted" in str(unmounted.error)
    assert not (tmp_path / "archive").exists()


def test_a_dry_run_says_what_a_run_would_do_and_names_a_missing_right(tools: Tools) -> None:
    done = run.run("audit_maintenance", Request(dry_run=True), tools, started_by="a test")
    assert (done.details["detached_partitions"], done.details["late_rows"]) == (1, 2)
    assert logs.count(tools.engine) == 33

    grants = (
        "GRANT USAGE ON SCHEMA crm, crm_ops TO {role}",
        "GRANT SELECT ON crm.audit_log TO {role}",
        "GRANT SELECT ON crm.audit_log_default TO {role}",
        "GRANT ALL ON ALL TABLES IN SCHEMA crm_ops TO {role}",
    )
    with (
        logs.as_role(tools.engine, *grants) as poor,
        pytest.raises(errors.PermissionMissing, match="membership in the role"),
    ):
        run.run(
            "audit_maintenance", Request(dry_run=True), replace(tools, engine=poor), started_by="x"
        )
