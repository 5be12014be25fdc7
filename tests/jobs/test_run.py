"""A run is planned, done and reported; nothing that fails stops the rest, and all of it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors
from crm_ops.base import store as stores
from crm_ops.jobs import registry, run
from crm_ops.jobs.work import Request, Tools
from tests.jobs.conftest import NOWHERE_POSTGRESQL, NOWHERE_REDIS, execute, go, rows, stored


def test_all_four_jobs_on_a_crm(tools: Tools) -> None:
    results = [go(job, tools) for job in registry.JOBS]

    assert [(done.job, done.state, done.error) for done in results] == [
        (job, "success", None) for job in registry.JOBS
    ]
    assert all(done.figures_written > 0 and done.took_ms > 0 for done in results)
    assert [done.tenants for done in results] == [13, 13, 0, 13]
    again = [go(job, tools) for job in registry.JOBS]
    assert [done.figures_written for done in again[:3]] == [0, 0, 0]
    assert [done.rows_seen for done in again[:2]] == [done.rows_seen for done in results[:2]]


def test_a_dry_run_of_any_job_writes_nothing_and_tells_what_a_run_would(tools: Tools) -> None:
    before = stored(tools.engine)

    told = [go(job, tools, dry_run=True) for job in registry.JOBS]

    assert [done.state for done in told] == ["success"] * 4
    assert stored(tools.engine) == before
    assert tools.redis.dbsize() == 0
    assert all(done.figures_written > 0 for done in told[:3])
    audit = go("audit_maintenance", tools)
    for figure in ("created_partitions", "moved_rows", "detached_partitions"):
        assert told[2].details[figure] == audit.details[figure], figure


def test_progress_is_told_before_each_batch(changed: Callable[..., Tools]) -> None:
    tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 300"))
    heard: list[tuple[int, int, str]] = []

    run.run(
        "precompute_facets",
        Request(("lead",)),
        tools,
        started_by="a test",
        progress=lambda done, of, label: heard.append((done, of, label)),
    )

    assert len(heard) > 1
    assert [(done, of) for done, of, _ in heard] == [(at, len(heard)) for at in range(len(heard))]
    assert all(label.startswith("lead: ") for _, _, label in heard)


class TestWhenABatchFails:
    def test_the_others_are_done_and_the_report_names_it(
        self, tools: Tools, demo: sa.Engine
    ) -> None:
        planned = run.plan("precompute_facets", Request(), tools, started_by="a test")
        execute(demo, "ALTER TABLE crm.deal RENAME COLUMN stage TO step")

        states = [_tried(lambda batch=batch: run.do(batch, tools)) for batch in planned.batches]
        done = run.report(planned.run_id, tools)

        assert states == ["done", "DatabaseRefused", "done", "done"]
        assert done.state == "failed"
        assert done.error is not None
        assert done.error.startswith("deal: all 13 tenants: crm.deal has no column stage;")
        assert "`crm-ops catalog validate`" in done.error
        counted = rows(demo, "SELECT DISTINCT entity FROM crm_ops.facet_count ORDER BY 1")
        assert counted == [("account",), ("contact",), ("lead",)]

    def test_the_last_try_counts(self, tools: Tools) -> None:
        planned = run.plan("precompute_facets", Request(("lead",)), tools, started_by="a test")
        (batch,) = planned.batches
        away = replace(tools, redis=stores.client(NOWHERE_REDIS))

        assert _tried(lambda: run.do(batch, away)) == "RedisUnavailable"
        assert run.report(planned.run_id, tools).state == "failed"
        assert _tried(lambda: run.do(batch, tools)) == "done"

        done = run.report(planned.run_id, tools)
        assert (done.state, done.error) == ("success", None)
        assert tools.redis.dbsize() == 13
        assert rows(tools.engine, "SELECT attempts, error FROM crm_ops.batch") == [(2, None)]

    def test_redis_that_goes_away_is_named_without_its_password(self, tools: Tools) -> None:
        planned = run.plan("precompute_facets", Request(("lead",)), tools, started_by="a test")
        away = replace(tools, redis=stores.client(NOWHERE_REDIS))
        assert _tried(lambda: run.do(planned.batches[0], away)) == "RedisUnavailable"

        done = run.report(planned.run_id, tools)

        assert done.error is not None
        assert "Redis at 127.0.0.1:1/0" in done.error
        assert "crm_redis" in done.error
        assert "s3cret" not in done.error

    def test_a_batch_that_was_never_done_fails_the_run(self, tools: Tools) -> None:
        planned = run.plan("precompute_facets", Request(), tools, started_by="a test")
        run.do(planned.batches[0], tools)

        done = run.report(planned.run_id, tools)

        assert done.state == "failed"
        assert done.error == "; ".join(
            f"{batch.label}: did not finish" for batch in planned.batches[1:]
        )


def test_postgresql_that_is_away_is_named_without_its_password(tools: Tools) -> None:
    away = replace(tools, engine=databases.engine(NOWHERE_POSTGRESQL))
    for job in registry.JOBS:
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            go(job, away)
        assert "PostgreSQL at ann@127.0.0.1:1/crm" in str(caught.value)
        assert "crm_postgres" in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_a_database_without_our_schema_is_told_what_to_do(
    tools: Tools, database: sa.Engine
) -> None:
    for job in registry.JOBS:
        with pytest.raises(errors.SettingsError, match="run `crm-ops migrate`"):
            go(job, replace(tools, engine=database))


def test_a_role_without_rights_is_told_before_anything_is_written(
    tools: Tools, reader: sa.Engine
) -> None:
    execute(tools.engine, f'REVOKE SELECT ON crm.lead, crm.app_user FROM "{reader.url.username}"')
    before = stored(tools.engine)

    with pytest.raises(errors.CatalogError) as caught:
        go("precompute_facets", replace(tools, engine=reader))

    assert f"the role {reader.url.username} may not read crm.lead; grant it SELECT" in str(
        caught.value
    )
    assert "may not read crm.app_user" in str(caught.value)
    assert stored(tools.engine) == before


def test_a_reading_role_can_count_and_publish(tools: Tools, reader: sa.Engine) -> None:
    for job in ("precompute_facets", "precompute_aggregates", "warm_caches"):
        done = go(job, replace(tools, engine=reader))
        assert (done.state, done.error) == ("success", None)


def _tried(work: Callable[[], object]) -> str:
    try:
        work()
    except errors.CrmOpsError as error:
        return type(error).__name__
    return "done"
