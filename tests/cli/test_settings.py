"""`crm-ops settings apply` hands the file to Airflow's side, and on how that ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended


@pytest.mark.parametrize("code", [0, 1])
def test_airflow_s_side_gets_the_file_and_its_end_is_ours(
    crm_ops: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Another Python stands in for it: what it really does is shown in tests/include."""
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"print(json.dumps(sys.argv[1:]))\nsys.exit({code})\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    assert crm_ops("settings", "apply", "of mine.yaml") == Ended(
        code, json.dumps(["-m", "include.settings", "apply", "of mine.yaml"]) + "\n", ""
    )
    assert crm_ops("settings", "apply").data[-1] == "airflow_settings.yaml"
