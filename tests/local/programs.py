"""Small programs for the tests to run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crm_ops.local import traces
from crm_ops.local.processes import Program

SLEEP = "import time; time.sleep(60)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
)
PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)
time.sleep(60)
"""


def program(folder: Path, code: str = SLEEP, name: str = "sleeper", **more: Any) -> Program:
    """A Python program that writes to `folder/name.log`."""
    return Program(
        name=name,
        command=(sys.executable, "-c", code),
        environment=dict(os.environ),
        folder=folder,
        log=folder / f"{name}.log",
        **more,
    )


def runs(pid: int) -> bool:
    """Whether a process lives; one that is dead and not yet buried does not."""
    status = Path(f"/proc/{pid}/stat")
    return traces.birth(pid) != "" and status.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(true: Callable[[], object], seconds: float = 20) -> bool:
    """Whether it becomes true before long."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
