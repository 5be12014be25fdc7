"""`crm-ops settings apply` hands on how Airflow's side of it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Ended


def test_a_file_that_is_not_there_is_told(
    crm_ops: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    ended = crm_ops("settings", "apply", tmp_path / "none.yaml")
    assert (ended.code, ended.out) == (1, "")
    assert str(tmp_path / "none.yaml") in ended.err
