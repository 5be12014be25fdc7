"""Fixtures for all tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest_plugins = ("tests.servers",)


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it runs in the background; the tests are about Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit archive belongs to one database, and each test has its own."""
    monkeypatch.setenv("CRM_OPS_ARCHIVE", str(tmp_path / "archive"))
