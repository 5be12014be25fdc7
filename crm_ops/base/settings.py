"""Where the database, Redis, the catalog and the audit archive are: read once, then passed on.

Precedence: what the caller gives, then `CRM_OPS_*`, then Airflow's own variables for its
connections `crm_postgres`, `crm_redis` and `crm_archive` (a URI or JSON).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crm_ops.base import airflow_connection, errors
from crm_ops.base.archive import Archive

DATABASE_URL = "CRM_OPS_DATABASE_URL"
REDIS_URL = "CRM_OPS_REDIS_URL"
CATALOG = "CRM_OPS_CATALOG"
SIGNING_KEY = "CRM_OPS_SIGNING_KEY"
ARCHIVE = "CRM_OPS_ARCHIVE"
AIRFLOW_URL = "CRM_OPS_AIRFLOW_URL"
AIRFLOW_USER = "CRM_OPS_AIRFLOW_USER"
AIRFLOW_PASSWORD = "CRM_OPS_AIRFLOW_PASSWORD"  # noqa: S105 (its name)
AIRFLOW_TOKEN = "CRM_OPS_AIRFLOW_TOKEN"  # noqa: S105 (its name)
AIRFLOW_POSTGRES = "AIRFLOW_CONN_CRM_POSTGRES"
AIRFLOW_REDIS = "AIRFLOW_CONN_CRM_REDIS"
AIRFLOW_ARCHIVE = "AIRFLOW_CONN_CRM_ARCHIVE"
DEFAULT_CATALOG = Path("include/crm_ops.yaml")


@dataclass(frozen=True, repr=False)
class Settings:
    """The two URLs and the signing key (secrets: never shown), catalog and archive."""

    database_url: str | None
    redis_url: str | None
    catalog: Path
    signing_key: bytes | None
    archive: Archive

    def require_database(self) -> str:
        """The database URL, or an error that says how to give it."""
        if self.database_url is None:
            raise errors.SettingsError(
                f"no database is named; give --database-url, or set {DATABASE_URL} or"
                f" {AIRFLOW_POSTGRES}"
            )
        return self.database_url

    def require_redis(self) -> str:
        """The Redis URL, or an error that says how to give it."""
        if self.redis_url is None:
            raise errors.SettingsError(
                f"no Redis is named; give --redis-url, or set {REDIS_URL} or {AIRFLOW_REDIS}"
            )
        return self.redis_url


def read(
    environment: Mapping[str, str],
    *,
    database_url: str | None = None,
    redis_url: str | None = None,
    catalog: Path | None = None,
) -> Settings:
    """Settings from what the caller gives and, where it gives nothing, from `environment`."""
    return Settings(
        database_url=database_url
        or environment.get(DATABASE_URL)
        or _connection(environment, AIRFLOW_POSTGRES, airflow_connection.postgresql),
        redis_url=redis_url
        or environment.get(REDIS_URL)
        or _connection(environment, AIRFLOW_REDIS, airflow_connection.redis),
        catalog=catalog_path(environment, catalog),
        signing_key=os.fsencode(environment.get(SIGNING_KEY, "")) or None,
        archive=archive(environment),
    )


def archive(environment: Mapping[str, str]) -> Archive:
    """Where the audit archive lies, if not where the catalog says, and the credential for it."""
    text = environment.get(AIRFLOW_ARCHIVE)
    found = airflow_connection.archive(AIRFLOW_ARCHIVE, text) if text else Archive()
    return replace(found, url=environment.get(ARCHIVE) or None)


def catalog_path(environment: Mapping[str, str], given: Path | None = None) -> Path:
    """The catalog's path: given, or `CRM_OPS_CATALOG`, or the project's own."""
    if given is not None:
        return given
    named = environment.get(CATALOG)
    if named:
        return Path(named)
    return Path(__file__).resolve().parents[2] / DEFAULT_CATALOG


def _connection(
    environment: Mapping[str, str], variable: str, read_url: Callable[[str, str], str]
) -> str | None:
    text = environment.get(variable)
    return read_url(variable, text) if text else None


__all__ = [
    "AIRFLOW_ARCHIVE",
    "AIRFLOW_PASSWORD",
    "AIRFLOW_POSTGRES",
    "AIRFLOW_REDIS",
    "AIRFLOW_TOKEN",
    "AIRFLOW_URL",
    "AIRFLOW_USER",
    "ARCHIVE",
    "CATALOG",
    "DATABASE_URL",
    "REDIS_URL",
    "SIGNING_KEY",
    "Settings",
    "archive",
    "catalog_path",
    "read",
]
