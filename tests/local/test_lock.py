from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import lock

HOLD = """
import sys, time, pathlib
from crm_ops.local import lock
with lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_stack_in_a_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(errors.LocalError, match=f"stack of {tmp_path} is already running"),
            lock.held(tmp_path / "lock"),
        ):
            pass
        first.kill()
    with lock.held(tmp_path / "lock"):
        pass
