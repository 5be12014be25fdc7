from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import traces
from crm_ops.local.processes import Processes
from tests.local.programs import PARENT, SLEEP, eventually, program, runs

MANAGER = """
import sys, pathlib
from crm_ops.local.processes import Processes
from tests.local.programs import program
folder = pathlib.Path(sys.argv[1])
with Processes(folder / "record") as processes:
    processes.start(program(folder))
    print("started", flush=True)
    processes.stay()
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "record") as running:
        yield running


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a sleeper."""
    with subprocess.Popen(
        [sys.executable, "-c", MANAGER, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as started:
        assert started.stdout
        assert started.stdout.readline() == "started\n"
        yield started
        started.kill()


def pids(folder: Path) -> list[int]:
    return [trace.pid for trace in traces.read(folder / "record")]


def test_a_program_runs_until_the_end_and_no_longer(tmp_path: Path) -> None:
    with Processes(tmp_path / "record") as processes:
        processes.start(program(tmp_path, PARENT, grace_s=0.5))
        log = tmp_path / "sleeper.log"
        assert eventually(lambda: log.read_text().endswith("\n"))
        family = [*pids(tmp_path), int(log.read_text())]
        processes.check()
        assert all(runs(pid) for pid in family)
    assert not any(runs(pid) for pid in family)
    assert pids(tmp_path) == []


def test_what_it_did_not_start_runs_on(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        with Processes(tmp_path / "record") as processes:
            processes.start(program(tmp_path))
        assert runs(other.pid)
        other.kill()


def test_a_death_is_reported_with_the_last_lines_of_the_log(
    processes: Processes, tmp_path: Path
) -> None:
    processes.start(program(tmp_path, "print('out of tea'); raise SystemExit(3)"))
    with pytest.raises(errors.LocalError, match=r"(?s)sleeper ended with code 3;.*tea") as told:
        processes.until(lambda: False, what="tea", timeout_s=20)
    assert str(tmp_path / "sleeper.log") in str(told.value)


def test_an_end_that_was_not_expected_is_a_death_too(processes: Processes, tmp_path: Path) -> None:
    processes.start(program(tmp_path, "pass"))
    with pytest.raises(errors.LocalError, match="sleeper ended with code 0"):
        processes.until(lambda: False, what="tea", timeout_s=20)


def test_a_program_that_finishes_is_waited_for(processes: Processes, tmp_path: Path) -> None:
    processes.start(program(tmp_path, "print('done')", finishes=True))
    processes.finish("sleeper", timeout_s=20)
    assert (tmp_path / "sleeper.log").read_text() == "done\n"


def test_what_is_not_ready_in_time_is_named(processes: Processes, tmp_path: Path) -> None:
    processes.start(program(tmp_path))
    with pytest.raises(errors.LocalError, match=r"tea was not ready after 0\.1 s; see .*sleeper"):
        processes.until(lambda: False, what="tea", timeout_s=0.1)


def test_a_program_that_is_not_there_is_named(processes: Processes, tmp_path: Path) -> None:
    absent = program(tmp_path, name="absent")
    with pytest.raises(errors.LocalError, match="absent cannot be started"):
        processes.start(type(absent)(**{**absent.__dict__, "command": ("/nowhere/at/all",)}))


def test_a_ctrl_c_ends_what_was_started(manager: subprocess.Popen[str], tmp_path: Path) -> None:
    (pid,) = pids(tmp_path)
    manager.send_signal(signal.SIGINT)
    manager.wait()
    assert not runs(pid)


def test_a_killed_manager_leaves_nothing(manager: subprocess.Popen[str], tmp_path: Path) -> None:
    (pid,) = pids(tmp_path)
    manager.kill()
    assert eventually(lambda: not runs(pid))


def test_what_was_left_when_the_guardian_was_killed_too_is_stopped_by_the_next_start(
    manager: subprocess.Popen[str], tmp_path: Path
) -> None:
    (pid,) = pids(tmp_path)
    (guardian,) = guardians(tmp_path)
    os.kill(guardian, signal.SIGKILL)
    manager.kill()
    manager.wait()
    time.sleep(0.2)
    assert runs(pid)
    with Processes(tmp_path / "record"):
        assert not runs(pid)


def guardians(folder: Path) -> list[int]:
    def command(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    ours = f"crm_ops.local.guardian\0{folder / 'record'}".encode()
    return [pid for pid in everyone if ours in command(pid)]
