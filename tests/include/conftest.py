"""Tests of what the DAGs share, against a real PostgreSQL and Redis found as Airflow finds them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_ops.base import store as stores
from tests.dags.airflow_home import metadata
from tests.include.stand_in import job

__all__ = ["job", "metadata"]


@pytest.fixture
def postgres_connection(database: sa.Engine) -> dict[str, object]:
    """The test's own database, as an Airflow connection in JSON."""
    url = database.url
    return {
        "conn_type": "postgres",
        "host": url.host,
        "port": url.port,
        "login": url.username,
        "password": url.password,
        "schema": url.database,
    }


@pytest.fixture
def redis_connection(store: stores.Client) -> dict[str, object]:
    """The test's empty Redis, likewise."""
    given = store.connection_pool.connection_kwargs
    return {
        "conn_type": "redis",
        "host": given["host"],
        "port": given["port"],
        "password": given["password"],
    }


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, object]], None]:
    """Gives Airflow a connection by its environment variable."""

    def give(name: str, fields: dict[str, object]) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return give


@pytest.fixture
def connected(
    connect: Callable[[str, dict[str, object]], None],
    postgres_connection: dict[str, object],
    redis_connection: dict[str, object],
) -> None:
    """Both connections."""
    connect("crm_postgres", postgres_connection)
    connect("crm_redis", redis_connection)
