"""The command as a person or a script calls it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import settings
from crm_ops.cli import main

ROOT = Path(__file__).parents[2]
CATALOG = settings.catalog_path({})
KEY = "k" * 32
TERMINAL = ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed on stdout, which is JSON and nothing else."""
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine steers a test; messages are wrapped nowhere."""
    for name in list(os.environ):
        if name == "CRM_OPS_ARCHIVE":
            continue
        if name.startswith(("CRM_OPS_", "AIRFLOW_")) or name in TERMINAL:
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def crm_ops(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Calls `crm-ops` with these arguments."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["crm-ops", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Ended(int(ended.value.code or 0), out, err)

    return call


def url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def connected(
    monkeypatch: pytest.MonkeyPatch, demo: sa.Engine, redis_url: str, catalog_file: Path
) -> sa.Engine:
    """The demo CRM and Redis are named by the environment."""
    monkeypatch.setenv("CRM_OPS_DATABASE_URL", url(demo))
    monkeypatch.setenv("CRM_OPS_REDIS_URL", redis_url)
    monkeypatch.setenv("CRM_OPS_SIGNING_KEY", KEY)
    monkeypatch.setenv("CRM_OPS_CATALOG", str(catalog_file))
    return demo


@pytest.fixture
def catalog(catalog_file: Path) -> Callable[..., Path]:
    """A file with the project's own catalog, each `old` text replaced by its `new` one."""

    def write(*changes: tuple[str, str]) -> Path:
        text = CATALOG.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"{old!r} must stand in the catalog"
            text = text.replace(old, new)
        catalog_file.write_text(text, encoding="utf-8")
        return catalog_file

    return write
