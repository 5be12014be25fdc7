from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, settings, sql
from crm_ops.base.store import Client
from crm_ops.catalog import load
from crm_ops.demo import build, sizes
from crm_ops.jobs import registry, run
from crm_ops.jobs.work import Request, Tools
from crm_ops.schema import migrate

ROOT = Path(__file__).parents[2]


def documented() -> str:
    """The SQL of docs/permissions.md, as written."""
    text = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    return str(block)


@pytest.fixture
def role(server: sa.Engine) -> Iterator[str]:
    yield "crm_ops"
    with databases.autocommit(server) as connection:
        sql.run(connection, "DROP ROLE IF EXISTS crm_ops")


@pytest.fixture
def engine(role: str, database: sa.Engine) -> Iterator[sa.Engine]:
    """The demo CRM as the documented role sees it."""
    build.create(database, size=sizes.SMALL, as_of=date(2026, 6, 30))
    with database.connect() as connection, connection.begin():
        connection.exec_driver_sql(documented().replace("%", "%%"))
    url = database.url.set(username=role, password="change-me")
    made = databases.engine(url.render_as_string(hide_password=False))
    yield made
    made.dispose()


def tools(engine: sa.Engine, store: Client) -> Tools:
    return Tools(
        loaded=load.load(ROOT / settings.DEFAULT_CATALOG),
        engine=engine,
        redis=store,
        clock=lambda: datetime(2026, 7, 1, 2, tzinfo=UTC),
        signing_key=b"k" * 32,
    )


def test_the_documented_role_can_run_all_four_jobs(engine: sa.Engine, store: Client) -> None:
    migrate.upgrade(engine)

    results = [
        run.run(job, Request(), tools(engine, store), started_by="test") for job in registry.JOBS
    ]

    assert [(result.job, result.state, result.error) for result in results] == [
        (job, "success", None) for job in registry.JOBS
    ]


def test_the_documented_role_cannot_write_what_the_crm_keeps(engine: sa.Engine) -> None:
    for table in ("lead", "company", "sharing_rule"):
        with (
            pytest.raises(errors.PermissionMissing),
            databases.transaction(engine) as connection,
        ):
            sql.run(connection, f"DELETE FROM {sql.Relation('crm', table).quoted}")
