"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ("tests.servers",)


@pytest.fixture(autouse=True)
def own_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit archive belongs to one database, and each test has its own."""
    monkeypatch.setenv("CRM_OPS_ARCHIVE", str(tmp_path / "archive"))
