"""The command as a process: modules, terminals, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cli.conftest import KEY, ROOT, url


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "TERM": "xterm", "COLUMNS": "200", **more}


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "crm_ops", *arguments],
        cwd=ROOT,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


def test_python_m_crm_ops_is_the_command() -> None:
    with start("--help", env=environment()) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert all(each in out.decode() for each in ("run", "status", "migrate", "catalog", "up"))


@pytest.fixture
def servers(demo: sa.Engine, redis_url: str, catalog_file: Path) -> dict[str, str]:
    return environment(
        CRM_OPS_DATABASE_URL=url(demo),
        CRM_OPS_REDIS_URL=redis_url,
        CRM_OPS_SIGNING_KEY=KEY,
        CRM_OPS_CATALOG=str(catalog_file),
    )


def test_progress_is_for_a_terminal_and_never_on_stdout(servers: dict[str, str]) -> None:
    terminal, side = pty.openpty()
    with start("run", "--json", "--tenant", "1", env=servers, stderr=side) as process:
        os.close(side)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
        out = process.stdout.read() if process.stdout else b""
    os.close(terminal)

    assert process.returncode == 0
    assert b"precompute_facets: lead: " in shown
    assert b"\x1b[" in shown
    assert len(json.loads(out)["jobs"]) == 4


def test_an_interrupted_run_ends_at_once_without_a_traceback(servers: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hung = {**servers, "CRM_OPS_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        with start("run", env=hung) as process:
            silent.settimeout(60)
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            out, err = process.communicate(timeout=60)
            connection.close()
    assert process.returncode == 130
    assert time.monotonic() - began < 4
    assert out == b""
    assert b"Traceback" not in err


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        # The other side was closed: the process ended.
        return b""
