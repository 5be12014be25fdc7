"""How far figures lag is the age of what may be missing in them: on a real CRM, by its triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm_ops.alerts import world
from crm_ops.alerts.world import World
from crm_ops.base import database
from crm_ops.changes import install
from crm_ops.jobs.work import Tools
from tests.jobs.conftest import execute, go


def measured(tools: Tools, at: datetime | None = None) -> World:
    return world.read(tools.engine, tools.catalog, at or datetime.now(UTC))


@pytest.fixture
def captured(tools: Tools) -> Tools:
    """Changes of every entity are captured, and all figures are up to date."""
    with database.transaction(tools.engine) as connection:
        steps = install.plan(connection, tools.catalog)
    install.apply(tools.engine, steps)
    for job in ("precompute_facets", "precompute_aggregates"):
        assert go(job, tools).state == "success"
    return tools


def test_what_was_never_counted_has_no_lag(tools: Tools) -> None:
    assert measured(tools).lags == {}


def test_without_captured_changes_figures_age_from_their_count_on(tools: Tools) -> None:
    before = datetime.now(UTC)
    go("precompute_facets", tools)
    later = before + timedelta(hours=2)
    assert measured(tools, later).lags["lead"].seconds(later) == pytest.approx(7_200, abs=60)


def test_with_them_figures_are_exact_until_something_changes(captured: Tools) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    quiet = measured(captured, tomorrow).lags["lead"]
    assert (quiet.since, quiet.backlog, quiet.seconds(tomorrow)) == (None, 0, 0.0)

    execute(captured.engine, "UPDATE crm.lead SET status = 'won' WHERE id = 1")
    waiting = measured(captured, tomorrow)
    assert waiting.lags["lead"].backlog == 2, "the old row and the new one"
    assert waiting.lags["lead"].seconds(tomorrow) == pytest.approx(86_400, abs=60)
    assert waiting.lags["deal"].since is None

    go("precompute_facets", captured)
    assert measured(captured, tomorrow).lags["lead"].since is None


def test_one_tenant_that_is_left_behind_is_seen(captured: Tools) -> None:
    execute(
        captured.engine,
        "UPDATE crm_ops.refresh SET captured = false, as_of = now() - interval '3 hours'"
        " WHERE entity = 'lead' AND tenant = '1'",
    )
    now = datetime.now(UTC)
    found = measured(captured, now)
    assert found.lags["lead"].seconds(now) == pytest.approx(10_800, abs=60)
    by_tenant = {
        each.tenant: each.freshness_seconds
        for each in world.of_tenants(captured.engine, found)
        if each.entity == "lead"
    }
    assert by_tenant["1"] == pytest.approx(10_800, abs=60)


def test_triggers_that_were_switched_off_make_figures_old(captured: Tools) -> None:
    execute(captured.engine, "ALTER TABLE crm.lead DISABLE TRIGGER ALL")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert measured(captured, tomorrow).lags["lead"].seconds(tomorrow) > 86_000


def test_the_runway_is_that_of_the_partitions(captured: Tools) -> None:
    short = measured(captured).runway_days
    go("audit_maintenance", captured)
    long = measured(captured).runway_days
    assert short is not None
    assert long is not None
    assert short < 45 < long
