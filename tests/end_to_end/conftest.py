"""The whole stack as `make run` starts it, on a demo CRM, for the tests of this folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from crm_ops.base import settings
from crm_ops.demo import build, sizes
from crm_ops.local import layout, place, up
from crm_ops.schema import migrate
from tests import sinks

ROOT = Path(__file__).resolve().parents[2]
WEBHOOK_KEY = "the-key-of-the-webhook"
# People are told by the servers of the tests; the audit log's runs are late after a minute.
ALERTS = """
alerts:
  channels:
    - {kind: email, to: [ann@example.com]}
    - {kind: webhook}
"""


def prepare(engine: sa.Engine) -> None:
    """Our tables and the demo CRM."""
    migrate.upgrade(engine)
    build.create(engine, size=sizes.SMALL, as_of=datetime.now(UTC).date())


@pytest.fixture(scope="session")
def mail() -> Iterator[sinks.Mail]:
    """Where the stack's e-mail goes."""
    with sinks.mail() as sink:
        yield sink


@pytest.fixture(scope="session")
def web() -> Iterator[sinks.Web]:
    """Where the stack's webhook leads."""
    with sinks.web() as sink:
        yield sink


@pytest.fixture(scope="session")
def figures() -> Iterator[sinks.Statsd]:
    """Where the stack's figures go."""
    with sinks.statsd() as sink:
        yield sink


@pytest.fixture(scope="session")
def where() -> layout.Layout:
    """The stack's own folder."""
    return layout.make(ROOT, Path(tempfile.mkdtemp(prefix="crm-ops-stack-")))


@pytest.fixture(scope="session")
def inherited(where: layout.Layout, figures: sinks.Statsd) -> dict[str, str]:
    """The environment that the stack is started in.

    The catalog is the project's, but no run is due: only those of the tests run.
    """
    catalog = where.home / "crm_ops.yaml"
    ours = (ROOT / settings.DEFAULT_CATALOG).read_text()
    ours = re.sub("schedule: .*", 'schedule: "0 0 1 1 *"', ours)
    catalog.write_text(ours.replace("deadline_minutes: 50", "deadline_minutes: 1") + ALERTS)
    (where.airflow / "airflow.cfg").write_text(figures.configuration)
    named = {settings.CATALOG: str(catalog), settings.ARCHIVE: str(where.home / "audit_archive")}
    return {**os.environ, **named}


@pytest.fixture(scope="session")
def stack(
    where: layout.Layout, inherited: dict[str, str], mail: sinks.Mail, web: sinks.Web
) -> Iterator[up.Stack]:
    """PostgreSQL, Redis and Airflow with its scheduler, in a folder of their own."""
    try:
        with up.stack(
            where,
            prepare=prepare,
            inherited=inherited,
            note=lambda _what, _state: None,
        ) as running:
            with client(running) as airflow:
                connect(airflow, "smtp_default", mail.connection)
                connect(
                    airflow,
                    "crm_ops_webhook",
                    {"conn_type": "http", "host": f"{web.url}/alerts", "password": WEBHOOK_KEY},
                )
            yield running
    finally:
        place.remove(where.postgres)
        shutil.rmtree(where.home)


def client(stack: up.Stack) -> httpx.Client:
    """A logged-in client of Airflow's REST API."""
    headers = {"Authorization": f"Bearer {stack.airflow.token()}"}
    return httpx.Client(base_url=f"{stack.url}/api/v2", headers=headers, trust_env=False)


def connect(airflow: httpx.Client, name: str, fields: dict[str, Any]) -> None:
    """Add a connection as a person would under Admin > Connections."""
    extra = {"extra": sinks.as_json(fields["extra"])} if "extra" in fields else {}
    answer = airflow.post("/connections", json={"connection_id": name, **fields, **extra})
    assert answer.is_success, answer.text
