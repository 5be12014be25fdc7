"""Where the database, Redis and the catalog are: read once from the environment, then passed on.

Precedence: what the caller gives, then `CRM_OPS_*`, then Airflow's own variables for its
connections `crm_postgres` and `crm_redis` (a URI or JSON).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from crm_ops.base import errors

DATABASE_URL = "CRM_OPS_DATABASE_URL"
REDIS_URL = "CRM_OPS_REDIS_URL"
CATALOG = "CRM_OPS_CATALOG"
SIGNING_KEY = "CRM_OPS_SIGNING_KEY"
AIRFLOW_POSTGRES = "AIRFLOW_CONN_CRM_POSTGRES"
AIRFLOW_REDIS = "AIRFLOW_CONN_CRM_REDIS"
DEFAULT_CATALOG = Path("include/crm_ops.yaml")


@dataclass(frozen=True, repr=False)
class Settings:
    """The two URLs and the signing key (secrets: never shown), and the catalog's path."""

    database_url: str | None
    redis_url: str | None
    catalog: Path
    signing_key: bytes | None

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
        or _connection(environment, AIRFLOW_POSTGRES, "postgresql"),
        redis_url=redis_url
        or environment.get(REDIS_URL)
        or _connection(environment, AIRFLOW_REDIS, "redis"),
        catalog=catalog_path(environment, catalog),
        signing_key=environment[SIGNING_KEY].encode() if environment.get(SIGNING_KEY) else None,
    )


def catalog_path(environment: Mapping[str, str], given: Path | None = None) -> Path:
    """The catalog's path: given, or `CRM_OPS_CATALOG`, or the project's own."""
    if given is not None:
        return given
    named = environment.get(CATALOG)
    if named:
        return Path(named)
    return Path(__file__).resolve().parents[2] / DEFAULT_CATALOG


def _connection(environment: Mapping[str, str], variable: str, scheme: str) -> str | None:
    text = environment.get(variable)
    if not text:
        return None
    if not text.lstrip().startswith("{"):
        return f"{scheme}://{text.split('://', 1)[1]}" if "://" in text else _refuse(variable)
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.SettingsError(f"{variable} is neither a URI nor JSON") from error
    return _url(fields, scheme)


def _url(fields: Mapping[str, object], scheme: str) -> str:
    """The URL of an Airflow connection's JSON form."""
    host = str(fields.get("host") or "localhost")
    login = quote(str(fields.get("login") or ""), safe="")
    password = fields.get("password")
    secret = f":{quote(str(password), safe='')}" if password else ""
    user = f"{login}{secret}@" if login or secret else ""
    port = f":{fields['port']}" if fields.get("port") else ""
    if scheme == "redis":
        extra = fields.get("extra") or {}
        given = json.loads(extra) if isinstance(extra, str) else extra
        database = given.get("db", 0) if isinstance(given, dict) else 0
    else:
        database = quote(str(fields.get("schema") or ""), safe="")
    url = f"{scheme}://{user}{host}{port}/{database}"
    return url if urlsplit(url).hostname or host.startswith("/") else _refuse("the connection")


def _refuse(variable: str) -> str:
    raise errors.SettingsError(f"{variable} cannot be read; write a URI or Airflow's JSON form")


__all__ = [
    "AIRFLOW_POSTGRES",
    "AIRFLOW_REDIS",
    "CATALOG",
    "DATABASE_URL",
    "REDIS_URL",
    "SIGNING_KEY",
    "Settings",
    "catalog_path",
    "read",
]
