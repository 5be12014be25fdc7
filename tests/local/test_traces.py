from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crm_ops.local import traces
from crm_ops.local.traces import Trace
from tests.local.programs import DEAF, PARENT, SLEEP, runs

Start = Callable[..., tuple[subprocess.Popen[str], Trace]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code as the leader of a session; gives the process and its trace."""
    started = []

    def start(code: str = SLEEP, **more: object) -> tuple[subprocess.Popen[str], Trace]:
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(child)
        trace = Trace("program", child.pid, traces.birth(child.pid), 1, signal.SIGTERM, 10)
        return child, replace(trace, **more)

    yield start
    for child in started:
        child.kill()
        child.communicate()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline()


def test_a_process_is_stopped_together_with_its_children(start: Start) -> None:
    parent, trace = start(PARENT)
    grandchild = int(said(parent))
    # Asked to end, the parent leaves its child behind: the session is what is stopped.
    traces.stop([replace(trace, grace_s=0.5)])
    assert not runs(parent.pid)
    assert not runs(grandchild)


def test_one_that_does_not_listen_is_killed_after_its_grace(start: Start) -> None:
    deaf, trace = start(f"{DEAF}; {SLEEP}")
    said(deaf)
    since = time.monotonic()
    traces.stop([replace(trace, grace_s=0.5)])
    assert deaf.wait() == -signal.SIGKILL
    assert time.monotonic() - since >= 0.5


def test_another_process_that_was_given_the_number_is_let_be(start: Start) -> None:
    other, trace = start()
    traces.stop([replace(trace, birth="an earlier boot/123")])
    assert runs(other.pid)


def test_what_uses_others_is_gone_before_they_are_asked(start: Start) -> None:
    server, below = start(stage=0)
    user, above = start(f"{DEAF}; {SLEEP}", stage=1, grace_s=0.5)
    said(user)
    order = []
    ask = traces._send  # the only door to a signal

    def send(pid: int, number: int) -> None:
        order.append((pid, runs(user.pid)))
        ask(pid, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "_send", send)
        traces.stop([below, above])
    assert order[0] == (user.pid, True)
    assert order[-1] == (server.pid, False)


def test_the_record_is_read_back(tmp_path: Path) -> None:
    written = [Trace("redis", 1, "boot/1", 0, signal.SIGTERM, 10.0)]
    traces.write(tmp_path / "record", written)
    assert traces.read(tmp_path / "record") == written
    assert traces.read(tmp_path / "nothing") == []


def test_there_is_no_birth_of_what_is_not_there() -> None:
    assert traces.birth(2**22 + 1) == ""
