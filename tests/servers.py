"""A real PostgreSQL and a real Redis for the tests: one of each a session, fresh data a test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.base import store as store_module
from crm_ops.demo import build
from crm_ops.demo.sizes import Size
from crm_ops.local import place, ports, postgres, redis
from crm_ops.local.processes import Processes
from crm_ops.schema import migrate

# A server of your own, as a role that may create databases; the session starts one otherwise.
SERVER = "CRM_OPS_TEST_DATABASE_URL"
PASSWORD = "for-tests-only"
# 14 companies, of which one is closed.
TINY = Size(
    name="tiny",
    companies=14,
    users=80,
    accounts=150,
    contacts=200,
    leads=600,
    deals=400,
    audit_rows=600,
)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-test-")).resolve()
    yield folder
    place.remove(folder / "postgres")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_processes(server_folder: Path) -> Iterator[Processes]:
    with Processes(server_folder / "processes.json") as running:
        yield running


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """The server's own database, for CREATE DATABASE and the like."""
    url = os.environ.get(SERVER)
    if url is None:
        folder: Path = request.getfixturevalue("server_folder")
        url = postgres.start(
            request.getfixturevalue("server_processes"),
            folder / "postgres",
            log=folder / "postgresql.log",
            port=ports.any_free(),
            password=PASSWORD,
        ).url("postgres")
        _forget_at_a_power_cut(url)
    engine = databases.engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template(server: sa.Engine) -> Iterator[str]:
    """The database that every test's own is a copy of."""
    with _made(server) as name:
        yield name


@pytest.fixture
def database(server: sa.Engine, template: str) -> Iterator[sa.Engine]:
    """An engine on a database of this test alone."""
    with _made(server, template) as name, _engine(server, name) as engine:
        yield engine


@pytest.fixture(scope="session")
def migrated_template(server: sa.Engine) -> Iterator[str]:
    """A database that holds our schema and nothing else."""
    with _made(server) as name:
        with _engine(server, name) as engine:
            migrate.upgrade(engine)
        yield name


@pytest.fixture
def migrated(server: sa.Engine, migrated_template: str) -> Iterator[sa.Engine]:
    """An engine on a database of this test alone that holds our schema."""
    with _made(server, migrated_template) as name, _engine(server, name) as engine:
        yield engine


@pytest.fixture(scope="session")
def demo_template(server: sa.Engine, migrated_template: str) -> Iterator[str]:
    """A database that holds our schema and a demo CRM of a few hundred rows, up to yesterday."""
    with _made(server, migrated_template) as name:
        with _engine(server, name) as engine:
            build.create(engine, size=TINY, as_of=datetime.now(UTC).date())
        yield name


@pytest.fixture
def demo(server: sa.Engine, demo_template: str) -> Iterator[sa.Engine]:
    """An engine on a database of this test alone that holds our schema and a small demo CRM."""
    with _made(server, demo_template) as name, _engine(server, name) as engine:
        yield engine


@pytest.fixture(scope="session")
def redis_server(server_folder: Path, server_processes: Processes) -> str:
    (server_folder / "redis").mkdir()
    started = redis.start(
        server_processes,
        server_folder / "redis",
        log=server_folder / "redis.log",
        port=ports.any_free(),
        password=PASSWORD,
    )
    return started.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis."""
    with store_module.client(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def store(redis_url: str) -> Iterator[store_module.Client]:
    """A client of an empty Redis."""
    with store_module.client(redis_url) as client:
        yield client


def _forget_at_a_power_cut(url: str) -> None:
    """Do not wait for the disk: the data are thrown away at the session's end."""
    engine = databases.engine(url)
    with databases.autocommit(engine) as connection:
        for setting in ("fsync", "full_page_writes"):
            sql.run(connection, f"ALTER SYSTEM SET {setting} = off")
        sql.run(connection, "SELECT pg_reload_conf()")
    engine.dispose()


@contextmanager
def _engine(server: sa.Engine, name: str) -> Iterator[sa.Engine]:
    engine = databases.engine(server.url.set(database=name).render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@contextmanager
def _made(server: sa.Engine, template: str = "template1") -> Iterator[str]:
    name = f"crm_ops_test_{uuid.uuid4().hex[:12]}"
    quoted = sql.identifier(name)
    with databases.autocommit(server) as connection:
        # Copying files is half the work of writing every page to the log.
        sql.run(
            connection,
            f"CREATE DATABASE {quoted} TEMPLATE {sql.identifier(template)} STRATEGY FILE_COPY",
        )
    yield name
    with databases.autocommit(server) as connection:
        sql.run(connection, f"DROP DATABASE {quoted} WITH (FORCE)")
