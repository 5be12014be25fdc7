"""`crm-ops trigger` against a stand-in for Airflow's REST API: what it asks, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from crm_ops.cli import trigger
from crm_ops.local import ports
from tests.cli.conftest import Ended

Call = Callable[..., Ended]

PASSWORD = "its-secret"
DAG = "/api/v2/dags/precompute_search_facets"
FIGURES = {
    "job": "precompute_facets",
    "state": "partial",
    "tenants": 6,
    "rows_seen": 100,
    "figures_written": 7,
    "took_ms": 1_200,
    "error": "1 tenant(s) failed: 7: it broke",
    "details": {},
}


class StandIn:
    """An Airflow in which every run ends as `state`, having handed on `figures`."""

    def __init__(self) -> None:
        self.url = ""
        self.paused = False
        self.state = "success"
        self.figures: dict[str, Any] | None = FIGURES
        self.asked: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        run = {"dag_id": "precompute_search_facets", "dag_run_id": "crm_ops__1"}
        key = "return_value" if self.state == "success" else "figures"
        if path == "/auth/token":
            good = body == {"username": "ann", "password": PASSWORD}
            return (201, {"access_token": "t"}) if good else (401, {"detail": "Invalid"})
        if path == DAG:
            parsed = {"is_paused": self.paused, "last_parsed_time": "2026-01-01T00:00:00Z"}
            return 200, {"dag_id": run["dag_id"], **parsed}
        if method == "POST":
            self.asked.append(body)
            return 200, {**run, "state": "queued"}
        if path.endswith("/xcomEntries"):
            return 200, {"xcom_entries": [{"key": key}] if self.figures else []}
        if "/xcomEntries/" in path:
            return 200, {"value": self.figures}
        if path.endswith("/taskInstances"):
            return 200, {
                "task_instances": [{"task_id": "plan", "map_index": -1, "state": "success"}]
            }
        return 200, {**run, "state": self.state}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    made = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.reply(json.loads(self.rfile.read(length)))

        def reply(self, body: Any) -> None:
            status, value = made.answer(self.command, self.path.partition("?")[0], body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((ports.LOOPBACK, 0), Handler)
    made.url = f"http://{ports.LOOPBACK}:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(trigger, "_EVERY_S", 0.01)
    monkeypatch.setenv("NO_PROXY", ports.LOOPBACK)
    monkeypatch.setenv("CRM_OPS_AIRFLOW_URL", made.url)
    monkeypatch.setenv("CRM_OPS_AIRFLOW_USER", "ann")
    monkeypatch.setenv("CRM_OPS_AIRFLOW_PASSWORD", PASSWORD)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def call(crm_ops: Callable[..., Ended]) -> Call:
    """Calls `crm-ops trigger precompute_facets` with more arguments."""

    def trigger_(*arguments: str) -> Ended:
        done = crm_ops("trigger", "precompute_facets", *arguments)
        assert PASSWORD not in done.out + done.err
        return done

    return trigger_


def test_a_run_is_asked_for_what_the_options_say(airflow: StandIn, call: Call) -> None:
    done = call("--entity", "lead", "--tenant", "7", "--tenant", "9", "--dry-run")
    assert done.code == 0
    (asked,) = airflow.asked
    assert asked["conf"] == {
        "entities": ["lead"],
        "tenants": ["7", "9"],
        "dry_run": True,
        "mode": "auto",
    }
    assert f"{airflow.url}/dags/precompute_search_facets/runs/crm_ops__1" in done.err


@pytest.mark.parametrize(
    ("state", "figures", "code"),
    [
        ("success", {**FIGURES, "state": "success", "error": None}, 0),
        ("failed", FIGURES, 4),
        ("failed", {**FIGURES, "state": "failed"}, 1),
        ("failed", None, 1),
    ],
)
def test_it_exits_by_the_outcome(
    airflow: StandIn, call: Call, state: str, figures: dict[str, Any] | None, code: int
) -> None:
    airflow.state, airflow.figures = state, figures
    done = call("--wait", "--json")
    assert done.code == code
    told = done.data
    assert told["state"] == (figures["state"] if figures else "failed")
    if figures:
        assert told["rows_seen"] == 100
    else:
        assert "link" in told


def test_a_person_reads_figures_and_what_went_wrong(airflow: StandIn, call: Call) -> None:
    airflow.state = "failed"
    done = call("--wait")
    assert "partial" in done.out
    assert "1 tenant(s) failed: 7: it broke" in done.err


def test_a_dag_that_is_paused_is_not_triggered(airflow: StandIn, call: Call) -> None:
    airflow.paused = True
    done = call("--wait")
    assert done.code == 1
    assert "is paused" in done.err
    assert airflow.asked == []


def test_a_wrong_password_is_said(
    airflow: StandIn, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_OPS_AIRFLOW_PASSWORD", "another")
    done = call()
    assert done.code == 1
    assert "401" in done.err


@pytest.mark.parametrize(
    "name", ["CRM_OPS_AIRFLOW_URL", "CRM_OPS_AIRFLOW_USER", "CRM_OPS_AIRFLOW_PASSWORD"]
)
def test_what_is_not_set_is_named(
    airflow: StandIn, call: Call, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    done = call()
    assert done.code == 2
    assert name in done.err


def test_a_token_serves_in_place_of_a_login(
    airflow: StandIn, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRM_OPS_AIRFLOW_USER")
    monkeypatch.setenv("CRM_OPS_AIRFLOW_TOKEN", "t")
    assert call().code == 0


def test_an_airflow_that_is_away_is_named(airflow: StandIn, call: Call) -> None:
    away = f"http://{ports.LOOPBACK}:{ports.any_free()}"
    assert f"{away} does not answer" in call("--airflow-url", away).err
