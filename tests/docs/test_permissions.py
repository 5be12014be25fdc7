from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.base.store import Client
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.demo import build, sizes
from crm_ops.jobs import registry, run
from crm_ops.jobs.work import Request, Tools
from crm_ops.read import connect
from crm_ops.read.reader import Reader
from crm_ops.schema import migrate
from crm_ops.sharing import install as sharing

ROOT = Path(__file__).parents[2]


def documented(kind: str = "") -> str:
    """The SQL of docs/permissions.md, as written; of a `kind`, that of its other roles."""
    text = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```sql{kind and ' '}{kind}\n(.*?)```", text, re.DOTALL)
    return str(block).replace("%", "%%")


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
        connection.exec_driver_sql(documented())
    made = databases.engine(url_as(database, role))
    yield made
    made.dispose()


def url_as(database: sa.Engine, role: str) -> str:
    url = database.url.set(username=role, password="change-me")
    return url.render_as_string(hide_password=False)


@pytest.fixture
def tagged(catalog_file: Path) -> Path:
    """The project's catalog with a facet that counts the leads' tags."""
    tag = (
        "      tag: {kind: link, table: crm.lead_tag, parent: lead_id, column: tag_id,"
        " label_table: crm.tag, label_key: id, label: name}\n"
    )
    text = catalog_file.read_text(encoding="utf-8")
    catalog_file.write_text(text.replace("      status: {", f"{tag}      status: {{", 1))
    return catalog_file


def apply(engine: sa.Engine, opened: Tools) -> None:
    with databases.transaction(engine) as connection:
        steps = install.plan(connection, opened.catalog)
    install.apply(engine, steps)


def tools(engine: sa.Engine, store: Client, catalog: Path) -> Tools:
    return Tools(
        loaded=load.load(catalog),
        engine=engine,
        redis=store,
        clock=lambda: datetime(2026, 7, 1, 2, tzinfo=UTC),
        signing_key=b"k" * 32,
    )


def test_the_documented_role_can_capture_changes_and_run_all_four_jobs(
    engine: sa.Engine, store: Client, catalog_file: Path
) -> None:
    migrate.upgrade(engine)
    opened = tools(engine, store, catalog_file)
    apply(engine, opened)
    sharing.apply(engine, opened.catalog)

    results = [run.run(job, Request(), opened, started_by="test") for job in registry.JOBS]

    assert [(result.job, result.state, result.error) for result in results] == [
        (job, "success", None) for job in registry.JOBS
    ]


def test_the_documented_role_can_count_links_and_search_by_them(
    engine: sa.Engine, store: Client, tagged: Path
) -> None:
    migrate.upgrade(engine)
    opened = tools(engine, store, tagged)
    apply(engine, opened)
    done = run.run("precompute_facets", Request(), opened, started_by="test")
    assert (done.state, done.error) == ("success", None)

    assert_links_are_found(Reader(opened.catalog, engine, store))


def test_a_role_that_only_reads_can_search_and_report(
    engine: sa.Engine, database: sa.Engine, store: Client, tagged: Path
) -> None:
    migrate.upgrade(engine)
    opened = tools(engine, store, tagged)
    apply(engine, opened)
    for job in ("precompute_facets", "precompute_aggregates"):
        assert run.run(job, Request(), opened, started_by="test").state == "success"
    with databases.transaction(database) as connection:
        sql.run(connection, "CREATE ROLE crm_app LOGIN PASSWORD 'change-me'")
        sql.run(connection, "GRANT USAGE ON SCHEMA crm TO crm_app")
        sql.run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO crm_app")
    reading = connect.engine(url_as(database, "crm_app"))
    reader = Reader(opened.catalog, reading)
    try:
        with pytest.raises(errors.PermissionMissing, match="crm_ops"):
            reader.search("lead", tenant=1)
        with databases.transaction(database) as connection:
            connection.exec_driver_sql(documented("reader"))

        assert reader.search("lead", tenant=1).source == "table"
        assert reader.report("leads_by_status", tenant=1).source == "table"
        assert_links_are_found(reader)
        with (
            pytest.raises(errors.PermissionMissing),
            databases.transaction(reading) as connection,
        ):
            sql.run(connection, "DELETE FROM crm_ops.facet_count")
    finally:
        reading.dispose()
        with databases.transaction(database) as connection:
            sql.run(connection, "DROP OWNED BY crm_app")
            sql.run(connection, "DROP ROLE crm_app")


def assert_links_are_found(reader: Reader) -> None:
    every = reader.search("lead", tenant=1, limit=0).facets["tag"].buckets
    assert every[0].label
    found = reader.search("lead", tenant=1, filters={"tag": every[0].value}, limit=3)
    assert found.total == every[0].count > 0
    assert len(found.rows) == min(3, found.total)


def test_the_documented_role_cannot_write_what_the_crm_keeps(engine: sa.Engine) -> None:
    for table in ("lead", "company", "sharing_rule"):
        with (
            pytest.raises(errors.PermissionMissing),
            databases.transaction(engine) as connection,
        ):
            sql.run(connection, f"DELETE FROM {sql.Relation('crm', table).quoted}")
