from __future__ import annotations

import stat
from pathlib import Path

import pytest

from crm_ops.base import errors, store
from crm_ops.local import ports, redis
from crm_ops.local.processes import Processes


def server_program(folder: Path, shown: str) -> Path:
    """A `redis-server` that shows a version."""
    folder.mkdir()
    program = folder / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{shown}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("Redis server v=6.2.14 sha=0:0 malloc=libc bits=64 build=0", (6, 2)),
        ("Redis server v=7.0.15 sha=0:0 malloc=jemalloc-5.3.0 bits=64 build=0", (7, 0)),
    ],
)
def test_the_machines_own_is_taken(tmp_path: Path, shown: str, version: tuple[int, int]) -> None:
    program = server_program(tmp_path / "bin", shown)
    assert redis.find(str(tmp_path / "bin")) == (program, version)


@pytest.mark.parametrize("shown", ["Redis server v=5.0.14 sha=0:0", "", "command not found"])
def test_redislites_is_taken_where_the_machines_is_old_or_broken(
    tmp_path: Path, shown: str
) -> None:
    server_program(tmp_path / "bin", shown)
    program, version = redis.find(str(tmp_path / "bin"))
    assert program.parent != tmp_path / "bin"
    assert version >= (6, 2)


def test_it_asks_for_the_password_which_nobody_else_can_read(
    processes: Processes, home: Path
) -> None:
    server = redis.start(
        processes, home, log=home / "log", port=ports.any_free(), password="secret"
    )
    with (
        store.client(server.url.replace("secret", "wrong")) as wrong,
        pytest.raises(errors.RedisUnavailable, match="invalid username-password pair"),
    ):
        store.check(wrong)
    assert (home / "redis.conf").stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(server)


def test_what_it_holds_outlives_it(home: Path) -> None:
    port = ports.any_free()
    for expected in (None, b"value"):
        with Processes(home / "record") as processes:
            server = redis.start(processes, home, log=home / "log", port=port, password="secret")
            with store.client(server.url) as client:
                assert client.get("key") == expected
                client.set("key", "value")
