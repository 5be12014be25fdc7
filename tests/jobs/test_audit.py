"""The audit log's job: months ahead created, expired ones detached, and no row lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from crm_ops.base import store as stores
from crm_ops.base.results import Done
from crm_ops.jobs import audit
from crm_ops.jobs.work import Request, Tools
from tests.jobs.conftest import NOWHERE_REDIS, execute, go, rows, stored, without


def months(now: datetime, *, ahead: int) -> set[str]:
    """The names of this month and the next ones."""
    first = now.year * 12 + now.month - 1
    return {f"{at // 12}{at % 12 + 1:02}" for at in range(first, first + ahead + 1)}


def attached(engine: sa.Engine) -> set[str]:
    return {
        name.rpartition("_p")[2]
        for (name,) in rows(
            engine,
            "SELECT relid::regclass::text FROM pg_partition_tree('crm.audit_log') WHERE isleaf",
        )
    }


def everything(engine: sa.Engine) -> int:
    """How many audit rows there are, wherever they lie."""
    (attached_rows,) = rows(engine, "SELECT count(*) FROM crm.audit_log")[0]
    detached = rows(engine, "SELECT name FROM crm_ops.audit_partition WHERE state = 'detached'")
    return attached_rows + sum(
        rows(engine, f"SELECT count(*) FROM {name}")[0][0] for (name,) in detached
    )


def test_months_ahead_are_there_and_expired_ones_are_detached_with_their_rows(
    tools: Tools,
) -> None:
    now = tools.clock()
    before, had = everything(tools.engine), attached(tools.engine)

    done = go("audit_maintenance", tools)

    assert (done.state, done.error) == ("success", None)
    assert months(now, ahead=3) <= attached(tools.engine)
    assert done.details["created_partitions"] == len(months(now, ahead=3) - had) > 0
    assert done.details["detached_partitions"] > 0
    assert done.details["runway_days"] >= 89
    oldest = min(name for name in attached(tools.engine) if name.isdecimal())
    assert oldest == f"{now.year - 1}{now.month:02}"
    assert everything(tools.engine) == before


def test_rows_that_came_too_early_are_moved_to_their_month(tools: Tools) -> None:
    execute(
        tools.engine,
        "INSERT INTO crm.audit_log (action, entity, created_at)"
        " SELECT 'view', 'lead', now() + n * interval '1 day' FROM generate_series(40, 60) AS n",
    )
    (waiting,) = rows(tools.engine, "SELECT count(*) FROM crm.audit_log_default")[0]
    assert waiting >= 21

    done = go("audit_maintenance", tools)

    assert done.details["moved_rows"] == waiting
    assert done.details["default_rows"] == 0
    assert rows(tools.engine, "SELECT count(*) FROM crm.audit_log_default") == [(0,)]


def test_a_second_run_changes_nothing(tools: Tools) -> None:
    go("audit_maintenance", tools)
    before = stored(tools.engine)

    again = go("audit_maintenance", tools)

    assert (again.state, again.figures_written) == ("success", 0)
    assert stored(tools.engine) == before


def test_a_dry_run_changes_nothing_and_tells_what_it_would(tools: Tools) -> None:
    before = stored(tools.engine)

    told = go("audit_maintenance", tools, dry_run=True)

    assert told.state == "success"
    assert stored(tools.engine) == before
    done = go("audit_maintenance", tools)
    for figure in ("created_partitions", "moved_rows", "detached_partitions"):
        assert told.details[figure] == done.details[figure], figure
    assert told.figures_written == done.figures_written


def test_it_needs_no_redis_and_takes_the_whole_table_whoever_is_asked_for(tools: Tools) -> None:
    done = go(
        "audit_maintenance",
        replace(tools, redis=stores.client(NOWHERE_REDIS)),
        tenants=("1",),
        entities=("lead",),
    )
    assert done.state == "success"
    assert done.details["created_partitions"] > 0


def test_months_that_cannot_be_made_do_not_keep_expired_ones_from_going(tools: Tools) -> None:
    execute(
        tools.engine,
        "INSERT INTO crm.audit_log (action, entity, created_at)"
        " VALUES ('view', 'lead', now() + interval '40 days')",
        # What refers to a row in DEFAULT keeps it from being moved.
        "CREATE TABLE crm.note (id bigint, at timestamptz,"
        " FOREIGN KEY (id, at) REFERENCES crm.audit_log (id, created_at))",
    )

    done = go("audit_maintenance", tools)

    assert done.state == "failed"
    assert done.error is not None
    assert done.error.startswith("crm.audit_log: create partitions ahead:")
    assert done.details["detached_partitions"] > 0


def test_a_runway_that_stays_too_short_is_told_with_the_remedy(tools: Tools) -> None:
    short = Done(details={"runway_days": 44})

    told = audit.conclude(short, Request(), tools)

    assert told is not None
    assert "reach only 44 days ahead, fewer than the 45" in told
    assert "crm-ops run --task audit_maintenance" in told
    assert audit.conclude(Done(details={"runway_days": 45}), Request(), tools) is None
    assert audit.conclude(short, Request(dry_run=True), tools) is None


def test_a_catalog_without_an_audit_log_is_told(tools: Tools) -> None:
    with pytest.raises(errors.ParameterError, match="the catalog declares no audit log"):
        go("audit_maintenance", without(tools, "audit"))


def test_a_role_that_does_not_own_the_log_is_told_before_anything_is_written(
    tools: Tools, reader: sa.Engine
) -> None:
    before = stored(tools.engine)

    with pytest.raises(errors.PermissionMissing, match=r"audit log.*docs/permissions\.md"):
        go("audit_maintenance", replace(tools, engine=reader))

    assert stored(tools.engine) == before
