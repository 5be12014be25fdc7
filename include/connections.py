"""Opens PostgreSQL and Redis by Airflow's connections `crm_postgres` and `crm_redis`.

The connection `crm_archive` holds the credential of an audit archive that is an object store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from crm_ops.base import airflow_connection, database, errors, settings, store
from crm_ops.base.archive import Archive
from crm_ops.catalog.catalog import Catalog

ARCHIVE = "crm_archive"
POSTGRES = "crm_postgres"
REDIS = "crm_redis"

# The connection's own extras win over these.
_POSTGRES_EXTRAS = {"application_name": "crm-ops", "connect_timeout": 5}


def engine(limits: database.Limits, *, most: int | None = None) -> sa.Engine:
    """An engine on `crm_postgres` with bounded waits; it connects at its first statement.

    With `most` it holds no more connections, and who finds none free for two seconds is refused.
    Raises SettingsError where Airflow has no such connection.
    """
    connection = _found(POSTGRES)
    connection.extra = json.dumps({**_POSTGRES_EXTRAS, **connection.extra_dejson})
    hook = PostgresHook(connection=connection)
    # Made by the hook: its engine alone would leave the extras out, TLS settings among them.
    bound = {"pool_size": most, "max_overflow": 0, "pool_timeout": 2} if most else {}
    made = hook.get_sqlalchemy_engine({"creator": hook.get_conn, "pool_pre_ping": True, **bound})
    return database.bounded(made, limits)


def redis() -> store.Client:
    """A client of `crm_redis` with bounded waits; it connects at its first command.

    Raises SettingsError where Airflow has no such connection, or it cannot be used.
    """
    connection = _found(REDIS)
    if connection.extra_dejson.get("cluster"):
        raise errors.SettingsError(
            f"the connection {REDIS} leads to a Redis cluster; name a single server or its proxy"
        )
    # Not by Airflow's hook, whose client may wait for ever.
    described = json.dumps(connection.to_dict())
    return store.client(airflow_connection.redis(f"the connection {REDIS}", described))


def archive(environment: Mapping[str, str], catalog: Catalog) -> Archive:
    """Where the audit archive lies if not where the catalog says, and the credential for it.

    Airflow is asked for `crm_archive` only where the archive is a URL; where there is no such
    connection, the file system finds its credential in the environment by itself.
    """
    url = environment.get(settings.ARCHIVE) or None
    declared = catalog.audit.archive if catalog.audit else ""
    if "://" not in (url or declared):
        return Archive(url)
    try:
        described = json.dumps(Connection.get(ARCHIVE).to_dict())
    except AirflowNotFoundException:
        return Archive(url)
    return replace(airflow_connection.archive(f"the connection {ARCHIVE}", described), url=url)


def _found(name: str) -> Connection:
    try:
        found: Connection = Connection.get(name)
    except AirflowNotFoundException as error:
        raise errors.SettingsError(
            f"Airflow has no connection {name}, or cannot read it; add it under Admin >"
            f" Connections, or as JSON in the environment variable AIRFLOW_CONN_{name.upper()}, or"
            " apply airflow_settings.yaml with `crm-ops settings apply`"
        ) from error
    return found


__all__ = ["ARCHIVE", "POSTGRES", "REDIS", "archive", "engine", "redis"]
