"""A run that is broken off, or killed, does not go on in the ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from crm_ops.base import database
from crm_ops.jobs import facets, ledger, status
from crm_ops.jobs.work import Request, Tools
from tests.jobs.conftest import go, rows
from tests.local.programs import eventually

STATES = "SELECT state, error, finished_at IS NOT NULL FROM crm_ops.run ORDER BY id"
HOLDS = """
import sys, time
from crm_ops.base import database
from crm_ops.jobs import ledger
with ledger.alive(database.engine(sys.argv[1]), int(sys.argv[2])):
    print("alive", flush=True)
    time.sleep(60)
"""


def begun(tools: Tools) -> int:
    return ledger.begin(
        tools.engine, "precompute_facets", Request(), started_by="a test", now=tools.clock()
    )


def state(tools: Tools) -> str:
    last = status.read(tools).jobs["precompute_facets"]
    assert last is not None
    return last.state


def url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_run_that_is_broken_off_ends_in_the_ledger_with_what_it_did(
    changed: Callable[..., Tools], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 200"))
    do, allowed = facets.do, [True, True]

    def until(*given: object, **more: object) -> object:
        if not allowed:
            raise KeyboardInterrupt
        allowed.pop()
        return do(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(facets, "do", until)
    with pytest.raises(KeyboardInterrupt):
        go("precompute_facets", tools)

    (told,) = rows(tools.engine, "SELECT state, error, finished_at, rows_seen FROM crm_ops.run")
    assert told[:2] == ("failed", "it was broken off: KeyboardInterrupt")
    assert told[2] is not None
    assert told[3] == rows(tools.engine, "SELECT sum(rows_seen) FROM crm_ops.batch")[0][0] > 0


def test_one_that_had_ended_stays_as_it_ended(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = ledger.finish

    def then_break_off(*given: object, **more: object) -> object:
        finish(*given, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "finish", then_break_off)
    with pytest.raises(KeyboardInterrupt):
        go("precompute_facets", tools)

    assert rows(tools.engine, STATES) == [("success", None, True)]


def test_a_killed_one_is_seen_by_whoever_looks_and_closed_by_the_next(tools: Tools) -> None:
    run_id = begun(tools)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, url(tools.engine), str(run_id)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        assert state(tools) == "running"
        # Looking closes nothing, nor does another run while it is alive.
        go("precompute_facets", tools)
        assert rows(tools.engine, STATES)[0] == ("running", None, False)
        process.kill()

    assert eventually(lambda: _told(tools, run_id) == "failed")
    assert rows(tools.engine, STATES)[0] == ("running", None, False)
    go("precompute_facets", tools)
    first = rows(tools.engine, STATES)[0]
    assert (first[0], first[2]) == ("failed", True)
    assert "killed" in first[1]


def _told(tools: Tools, run_id: int) -> str:
    statement = f"SELECT state FROM crm_ops.run_as_it_is WHERE id = {run_id}"
    return str(rows(tools.engine, statement)[0][0])


def test_status_tells_of_a_killed_one_that_is_the_last(tools: Tools) -> None:
    run_id = begun(tools)
    with ledger.alive(tools.engine, run_id):
        assert state(tools) == "running"

    assert eventually(lambda: state(tools) == "failed")
    last = status.read(tools).jobs["precompute_facets"]
    assert last is not None
    assert last.error == "its process was killed or its machine stopped"
    assert (last.finished_at, last.took_ms) == (None, None)


def test_a_run_in_tasks_of_airflow_goes_on_between_them(tools: Tools) -> None:
    """No process is at it all the time: its end is told by its last task."""
    begun(tools)

    assert state(tools) == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_tells_that_it_was_asked_to_end(
    tools: Tools, redis_url: str, number: signal.Signals
) -> None:
    with database.snapshot(tools.engine, database.Lock("fold:lead"), wait_s=5):
        process = subprocess.Popen(
            [sys.executable, "-m", "crm_ops", "run", "--task", "precompute_facets"],
            env={
                **os.environ,
                "CRM_OPS_DATABASE_URL": url(tools.engine),
                "CRM_OPS_REDIS_URL": redis_url,
            },
            stderr=subprocess.DEVNULL,
        )
        with process, ExitStack() as stack:
            stack.callback(process.kill)
            assert eventually(
                lambda: rows(tools.engine, "SELECT 1 FROM crm_ops.batch WHERE state = 'running'"),
                seconds=60,
            )
            process.send_signal(number)
            assert process.wait(60) == 130

    (told,) = rows(tools.engine, STATES)
    assert told == ("failed", "it was broken off: KeyboardInterrupt", True)
