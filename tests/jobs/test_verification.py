"""The mode `verify`: a run that compares the figures, changes none, and says whose differ."""

from __future__ import annotations

import pytest

from crm_ops.base import database, errors
from crm_ops.changes import install
from crm_ops.jobs import ledger
from crm_ops.jobs.work import Tools
from tests.jobs.conftest import execute, go, stored


@pytest.fixture
def captured(tools: Tools) -> Tools:
    """The demo, its changes captured, its figures counted."""
    with database.transaction(tools.engine) as connection:
        steps = install.plan(connection, tools.catalog)
    install.apply(tools.engine, steps)
    go("precompute_facets", tools)
    go("precompute_aggregates", tools)
    return tools


def test_right_figures_are_proved_and_nothing_else_happens(captured: Tools) -> None:
    before = stored(captured.engine)
    result = go("precompute_facets", captured, mode="verify", entities=("lead",))
    assert (result.state, result.error, result.figures_written) == ("success", None, 0)
    assert result.details["proved_tenants"] == 13
    assert result.details["proved_figures"] > 0
    assert result.details["differing_figures"] == 0
    after = stored(captured.engine)
    assert (after["facets"], after["aggregates"]) == (before["facets"], before["aggregates"])


def test_a_tenant_whose_figure_differs_has_failed_and_is_named(captured: Tools) -> None:
    execute(
        captured.engine,
        "UPDATE crm_ops.facet_count SET n = n + 5"
        " WHERE entity = 'lead' AND tenant = '3' AND facet = ''",
    )
    result = go("precompute_facets", captured, mode="verify")
    assert result.state == "partial"
    assert "3: 1 figure(s) differ" in (result.error or "")
    assert "lead total in our table" in (result.error or "")
    run = ledger.last_runs(captured.engine)["precompute_facets"]
    assert run.details["differing_figures"] == 1


def test_only_what_was_asked_for_is_compared(captured: Tools) -> None:
    execute(
        captured.engine,
        "UPDATE crm_ops.facet_count SET n = n + 5 WHERE tenant = '3' AND facet = ''",
    )
    asked = {"mode": "verify", "tenants": ("1", "2"), "entities": ("deal",)}
    result = go("precompute_aggregates", captured, **asked)
    assert (result.state, result.details["proved_tenants"]) == ("success", 2)


def test_without_captured_changes_it_says_that_nothing_can_be_compared(tools: Tools) -> None:
    go("precompute_facets", tools)
    result = go("precompute_facets", tools, mode="verify", entities=("lead",))
    assert result.state == "failed"
    assert "lead cannot be verified: changes of crm.lead are not captured" in (result.error or "")


@pytest.mark.parametrize("job", ["warm_caches", "audit_maintenance"])
def test_a_job_without_figures_refuses_and_does_nothing(tools: Tools, job: str) -> None:
    before = stored(tools.engine)
    with pytest.raises(errors.ParameterError, match=f"{job} has no figures to verify"):
        go(job, tools, mode="verify")
    assert stored(tools.engine) == before


def test_there_is_no_dry_run_of_it(captured: Tools) -> None:
    with pytest.raises(errors.ParameterError, match="leave dry_run out"):
        go("precompute_facets", captured, mode="verify", dry_run=True)
