from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_ops.base import database, errors, sql
from crm_ops.local import databases, ports, postgres
from crm_ops.local.postgres import Server
from crm_ops.local.processes import Processes
from tests.local.programs import SLEEP, runs

Start = Callable[[Processes], Server]


@pytest.fixture
def start(home: Path) -> Start:
    port = ports.any_free()

    def start(processes: Processes) -> Server:
        return postgres.start(
            processes, home / "postgres", log=home / "log", port=port, password="secret"
        )

    return start


def answer(server: Server, text: str, name: str = "postgres") -> object:
    engine = database.engine(server.url(name))
    try:
        with database.transaction(engine) as connection:
            return sql.run(connection, text).scalar()
    finally:
        engine.dispose()


def test_it_is_postgresql_18_in_utc_on_loopback_alone(processes: Processes, start: Start) -> None:
    server = start(processes)
    assert answer(server, "SELECT current_setting('server_version_num')::int / 10000") == 18
    assert answer(server, "SELECT current_setting('listen_addresses')") == "127.0.0.1"
    assert answer(server, "SELECT current_setting('TimeZone')") == "UTC"


def test_nobody_gets_in_without_the_password(processes: Processes, start: Start) -> None:
    server = start(processes)
    wrong = Server(server.port, server.data, "wrong")
    with pytest.raises(errors.DatabaseUnavailable, match="password authentication failed"):
        answer(wrong, "SELECT 1")
    with pytest.raises(errors.LocalError, match=r"cannot be used.*make clean") as told:
        databases.ensure(wrong, "crm")
    assert "wrong" not in str(told.value)


def test_its_data_outlive_it(home: Path, start: Start) -> None:
    for _ in range(2):
        with Processes(home / "record") as processes:
            server = start(processes)
            databases.ensure(server, "crm")
            databases.note(server, "crm", databases.noted(server, "crm") + "it's 1 % ")
    assert not (server.data / "postmaster.pid").exists()
    with Processes(home / "record") as processes:
        assert databases.noted(start(processes), "crm") == "it's 1 % it's 1 % "


def test_one_that_was_killed_starts_again_with_what_was_committed(home: Path, start: Start) -> None:
    with Processes(home / "record") as processes:
        server = start(processes)
        databases.ensure(server, "crm")
        os.kill(pid(server), signal.SIGKILL)
    with Processes(home / "record") as processes:
        assert databases.noted(start(processes), "crm") == ""


def test_one_that_was_left_running_is_stopped_first(home: Path, start: Start) -> None:
    with Processes(home / "one") as forgotten, Processes(home / "two") as processes:
        left = pid(start(forgotten))
        server = start(processes)
        assert not runs(left)
        assert answer(server, "SELECT 1") == 1


def test_a_lock_file_that_names_another_program_is_in_nobodys_way(home: Path, start: Start) -> None:
    with Processes(home / "record") as processes:
        data = start(processes).data
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n")
        with Processes(home / "record") as processes:
            assert answer(start(processes), "SELECT 1") == 1
        assert runs(other.pid)
        other.kill()


def test_a_port_that_is_taken_is_told_with_the_servers_own_words(home: Path, start: Start) -> None:
    with Processes(home / "one") as first, Processes(home / "two") as second:
        taken = start(first).port
        with pytest.raises(errors.LocalError, match=r"(?s)postgresql ended .*already in use"):
            postgres.start(second, home / "other", log=home / "log2", port=taken, password="secret")


def pid(server: Server) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])
