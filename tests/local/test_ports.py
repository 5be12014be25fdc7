from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a server listens on."""
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_passed_over(taken: int) -> None:
    assert not ports.free(taken)
    with ports.claimed(taken) as port:
        assert taken < port < taken + 100


def test_a_port_that_another_stack_will_listen_on_is_passed_over() -> None:
    start = ports.any_free()
    with ports.claimed(start) as first, ports.claimed(start) as second:
        assert first < second
    with ports.claimed(start) as again:
        assert again == first


def test_the_port_of_the_last_start_is_taken_again(tmp_path: Path) -> None:
    port = ports.kept(tmp_path / "ports.json", "redis")
    assert ports.kept(tmp_path / "ports.json", "redis") == port


def test_it_is_replaced_when_somebody_else_has_it(tmp_path: Path, taken: int) -> None:
    (tmp_path / "ports.json").write_text(f'{{"redis": {taken}, "postgresql": 1}}')
    port = ports.kept(tmp_path / "ports.json", "redis")
    assert port != taken
    assert ports.kept(tmp_path / "ports.json", "redis") == port


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "free", lambda _port: False)
    with (
        pytest.raises(errors.LocalError, match="no port from 8080 to 8179 is free"),
        ports.claimed(8080),
    ):
        pass
