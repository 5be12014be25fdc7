"""`crm-ops status`: what stands, for a person and for a monitor."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tests.cli.conftest import Ended

Call = Callable[..., Ended]
JOBS = ["precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches"]


def test_before_any_run_it_is_unhealthy(crm_ops: Call, connected: sa.Engine) -> None:
    told, data = crm_ops("status"), crm_ops("status", "--json")

    assert told.code == 3
    assert all("are not captured; run `crm-ops catalog apply`" in x for x in told.err.splitlines())
    for job in JOBS:
        assert f"{job} never ran" in " ".join(told.out.split())
    assert (data.code, data.err) == (3, "")
    assert data.data["healthy"] is False
    assert data.data["jobs"] == dict.fromkeys(JOBS)
    assert data.data["freshness"] == []


def test_after_all_four_it_is_healthy(crm_ops: Call, connected: sa.Engine) -> None:
    crm_ops("catalog", "apply")
    ran = {job["job"]: job for job in crm_ops("run", "--json").data["jobs"]}

    told, data = crm_ops("status"), crm_ops("status", "--json")

    assert (told.code, told.err) == (0, "")
    lines = {line.split()[0]: line.split() for line in told.out.splitlines() if line}
    assert [lines[job][1] for job in JOBS] == ["success"] * 4
    assert (data.code, data.err) == (0, "")
    assert data.data["healthy"] is True
    for job, run in data.data["jobs"].items():
        for field in ("state", "tenants", "rows_seen", "figures_written", "took_ms", "error"):
            assert run[field] == ran[job][field], (job, field)
        assert run["started_at"] <= run["finished_at"] == run["last_success_at"]
        assert run["started_by"].startswith("crm-ops run (")
    fresh = {(each["kind"], each["entity"]): each for each in data.data["freshness"]}
    assert fresh["facets", "lead"]["tenants"] == 13
    assert (
        fresh["facets", "lead"]["counted"]
        == (data.data["jobs"]["precompute_facets"]["details"]["rows.lead"])
    )
    assert data.data["audit"]["runway_days"] >= 89


def test_a_job_that_failed_last_is_told_on_stderr(crm_ops: Call, connected: sa.Engine) -> None:
    crm_ops("run", "--task", "warm_caches", "--redis-url", "redis://:s3cret@127.0.0.1:1/0")

    told = crm_ops("status")

    assert told.code == 3
    assert told.err.splitlines()[-1].startswith("warm_caches: Redis at 127.0.0.1:1/0")
    assert "s3cret" not in told.out + told.err


def test_it_needs_a_database_that_is_there_and_migrated(
    crm_ops: Call, connected: sa.Engine, database: sa.Engine
) -> None:
    empty = database.url.render_as_string(hide_password=False)
    unmigrated = crm_ops("status", "--database-url", empty)
    assert (unmigrated.code, unmigrated.out) == (2, "")
    assert "run `crm-ops migrate`" in unmigrated.err

    away = crm_ops("status", "--database-url", "postgresql://ann:s3cret@127.0.0.1:1/crm", "--json")
    assert (away.code, away.out) == (1, "")
    assert "ann@127.0.0.1:1/crm" in away.err
    assert "s3cret" not in away.err
