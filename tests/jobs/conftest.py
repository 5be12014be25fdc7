"""The four jobs on a small demo CRM, by the project's own catalog or one that a test changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import settings, sql
from crm_ops.base import store as stores
from crm_ops.base.results import JobResult
from crm_ops.catalog import load
from crm_ops.jobs import run
from crm_ops.jobs.work import Request, Tools

CATALOG = settings.catalog_path({})
NOWHERE_REDIS = "redis://:s3cret@127.0.0.1:1/0"
NOWHERE_POSTGRESQL = "postgresql://ann:s3cret@127.0.0.1:1/crm"


@pytest.fixture
def tools(demo: sa.Engine, store: stores.Client, catalog_file: Path) -> Tools:
    """The tools of the jobs, with the project's own catalog."""
    return Tools(
        loaded=load.load(catalog_file),
        engine=demo,
        redis=store,
        clock=lambda: datetime.now(UTC),
        signing_key=b"k" * 32,
    )


@pytest.fixture
def changed(tools: Tools, catalog_file: Path) -> Callable[..., Tools]:
    """The tools with each `old` text of the catalog replaced by its `new` one."""

    def change(*changes: tuple[str, str]) -> Tools:
        text = CATALOG.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"{old!r} must stand in the catalog"
            text = text.replace(old, new)
        catalog_file.write_text(text, encoding="utf-8")
        return replace(tools, loaded=load.load(catalog_file))

    return change


def without(tools: Tools, part: str) -> Tools:
    """The tools with a catalog that does not declare an optional part."""
    catalog = tools.catalog.model_copy(update={part: None})
    return replace(tools, loaded=replace(tools.loaded, catalog=catalog))


def go(job: str, tools: Tools, **asked: Any) -> JobResult:
    """Run a job to its end."""
    return run.run(job, Request(**asked), tools, started_by="a test")


def rows(engine: sa.Engine, text: str) -> list[tuple[Any, ...]]:
    """What a query answers."""
    with databases.transaction(engine) as connection:
        return [tuple(row) for row in sql.run(connection, text)]


def execute(engine: sa.Engine, *statements: str) -> None:
    """Run statements as the CRM would."""
    with databases.transaction(engine) as connection:
        for statement in statements:
            sql.run(connection, statement)


def stored(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All figures of ours, and the partitions of the audit log."""
    return {
        "facets": rows(engine, "SELECT f::text FROM crm_ops.facet_count f ORDER BY 1"),
        "aggregates": rows(engine, "SELECT a::text FROM crm_ops.aggregate a ORDER BY 1"),
        "moments": rows(engine, "SELECT r::text FROM crm_ops.refresh r ORDER BY 1"),
        "partitions": rows(
            engine,
            "SELECT relid::regclass::text FROM pg_partition_tree('crm.audit_log') ORDER BY 1",
        ),
        "detached": rows(engine, "SELECT p::text FROM crm_ops.audit_partition p ORDER BY 1"),
    }


@pytest.fixture
def reader(server: sa.Engine, demo: sa.Engine) -> Iterator[sa.Engine]:
    """An engine on the demo as a role that may only read it, and write what is ours."""
    name, password = f"{demo.url.database}_reader", "for-tests-only"
    role = sql.identifier(name)
    execute(
        demo,
        f"CREATE ROLE {role} LOGIN PASSWORD {sql.literal(password)}",
        f"GRANT USAGE ON SCHEMA crm, crm_ops TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA crm TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA crm_ops TO {role}",
    )
    url = demo.url.set(username=name, password=password)
    engine = databases.engine(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    execute(demo, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
