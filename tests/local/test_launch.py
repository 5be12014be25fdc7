from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULE = "import gc, sys; print(__name__, sys.argv[1:], gc.get_threshold()[0])"


def test_a_module_runs_as_with_m_and_collects_less_often(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "crm_ops.local.launch", "shown", "--a", "b"],
        env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "__main__ ['--a', 'b'] 100000\n"
