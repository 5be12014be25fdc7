"""What Airflow shows and emits of the runs: figures by StatsD, the asset's state, a run by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crm_ops.cli import main
from crm_ops.jobs import registry
from crm_ops.local import up
from tests import prometheus, sinks
from tests.end_to_end.conftest import client

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ran(stack: up.Stack) -> up.Stack:
    """The stack when every job has run."""
    stack.run({name: job.dag_id for name, job in registry.JOBS.items()})
    return stack


@pytest.fixture
def call(stack: up.Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls `crm-ops trigger` as a person on another machine does."""
    monkeypatch.setenv("CRM_OPS_AIRFLOW_URL", stack.url)
    monkeypatch.setenv("CRM_OPS_AIRFLOW_USER", "admin")
    password = stack.services.credentials.airflow_admin
    monkeypatch.setenv("CRM_OPS_AIRFLOW_PASSWORD", password)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(main.app, ["trigger", *arguments])
        assert password not in done.output
        return done

    return run


def test_a_run_by_hand_is_waited_for_and_its_figures_are_told(ran: up.Stack, call: Any) -> None:
    done = call("precompute_facets", "--wait", "--json", "--entity", "lead", "--mode", "full")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["job"], told["state"]) == ("precompute_facets", "success")
    assert told["rows_seen"] > 0
    assert told["link"].startswith(f"{ran.url}/dags/precompute_search_facets/runs/crm_ops__")


def test_a_wrong_entity_is_a_wrong_call(ran: up.Stack, call: Any) -> None:
    done = call("precompute_facets", "--entity", "leed")
    assert type(done.exception).__name__ == "ParameterError"
    assert "400" in str(done.exception)


def test_a_tenant_that_is_not_there_fails_the_run(ran: up.Stack, call: Any) -> None:
    done = call("precompute_facets", "--wait", "--tenant", "no such tenant")
    assert done.exit_code == 1, done.output


def test_the_last_freshness_is_in_the_assets_state(ran: up.Stack) -> None:
    with client(ran) as airflow:
        assets = airflow.get("/assets").json()["assets"]
        for asset in assets:
            held = airflow.get(f"/assets/{asset['id']}/state-store").json()
            text = json.dumps(held)
            assert "freshness" in text, asset["name"]
            assert "lag_seconds" in text, asset["name"]


def test_board_and_rules_name_only_what_is_emitted(ran: up.Stack, figures: sinks.Statsd) -> None:
    """As a StatsD exporter with our mapping would hand it to Prometheus."""
    emitted = {prometheus.mapped(name) for name in figures.ours}
    assert None not in emitted, "a figure that the mapping does not know"
    wanted = prometheus.named_in("grafana.json") | prometheus.named_in("alerts.yml")
    # Of tenants only where the catalog asks for it, of drift when changes are captured.
    assert wanted - emitted <= {"airflow_crm_ops_entity_differing_figures"}
    assert emitted <= wanted, "a figure that neither the board nor a rule shows"


def test_the_figures_are_those_of_the_ledger(ran: up.Stack, figures: sinks.Statsd) -> None:
    assert figures.ours["airflow.crm_ops.audit.runway_days"] > 45
    assert figures.ours["airflow.crm_ops.job.warm_caches.failed"] == 0
    assert figures.ours["airflow.crm_ops.cache.facets.coverage"] == 1


def test_the_documentation_lists_every_figure(figures: sinks.Statsd, ran: up.Stack) -> None:
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(airflow_crm_ops_\w+)`", text, re.MULTILINE))
    emitted = {str(prometheus.mapped(name)) for name in figures.ours}
    assert emitted <= listed
