"""The whole stack as `make run` starts it, on a demo CRM, for the tests of this folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import settings
from crm_ops.demo import build, sizes
from crm_ops.local import layout, place, up
from crm_ops.schema import migrate

ROOT = Path(__file__).resolve().parents[2]


def prepare(engine: sa.Engine) -> None:
    """Our tables and the demo CRM."""
    migrate.upgrade(engine)
    build.create(engine, size=sizes.SMALL, as_of=datetime.now(UTC).date())


@pytest.fixture(scope="session")
def where() -> layout.Layout:
    """The stack's own folder."""
    return layout.make(ROOT, Path(tempfile.mkdtemp(prefix="crm-ops-stack-")))


@pytest.fixture(scope="session")
def inherited(where: layout.Layout) -> dict[str, str]:
    """The environment that the stack is started in.

    The catalog is the project's, but no run is due: only those of the tests run.
    """
    catalog = where.home / "crm_ops.yaml"
    ours = (ROOT / settings.DEFAULT_CATALOG).read_text()
    catalog.write_text(re.sub("schedule: .*", 'schedule: "0 0 1 1 *"', ours))
    named = {settings.CATALOG: str(catalog), settings.ARCHIVE: str(where.home / "audit_archive")}
    return {**os.environ, **named}


@pytest.fixture(scope="session")
def stack(where: layout.Layout, inherited: dict[str, str]) -> Iterator[up.Stack]:
    """PostgreSQL, Redis and Airflow with its scheduler, in a folder of their own."""
    try:
        with up.stack(
            where,
            prepare=prepare,
            inherited=inherited,
            note=lambda _what, _state: None,
        ) as running:
            yield running
    finally:
        place.remove(where.postgres)
        shutil.rmtree(where.home)
