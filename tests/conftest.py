"""Fixtures for all tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest_plugins = ("tests.servers",)


def pytest_configure() -> None:
    """A shell in the background, and nohup, ignore signals that the tests are about."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    for number, handler in usual.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def own_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit archive belongs to one database, and each test has its own."""
    monkeypatch.setenv("CRM_OPS_ARCHIVE", str(tmp_path / "archive"))
