"""Reads Airflow's variable for a connection, a URI or JSON, as what our drivers take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from crm_ops.base import errors
from crm_ops.base.archive import Archive

# Extras that are for Airflow's hook; it hands every other one to the driver.
_HOOK_ONLY = frozenset(
    {
        "iam",
        "redshift",
        "redshift-serverless",
        "cursor",
        "cluster-identifier",
        "workgroup-name",
        "aws_conn_id",
        "sqlalchemy_scheme",
        "sqlalchemy_query",
        "azure_conn_id",
    }
)
_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")


class _Connection(msgspec.Struct, frozen=True):
    """The fields of a connection by Airflow's names; never shown, for one is a password."""

    conn_type: str | None = None
    host: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    schema: str | None = None
    extra: dict[str, Any] | str | None = None

    def extras(self) -> Mapping[str, Any]:
        """The extras, which Airflow also takes as a JSON text."""
        if isinstance(self.extra, str) and self.extra:
            return msgspec.json.decode(self.extra, type=dict[str, Any])
        return self.extra if isinstance(self.extra, dict) else {}


def postgresql(variable: str, text: str) -> str:
    """The `postgresql://` URL of the connection that `text` describes.

    Extras go with it as options of libpq (sslmode, options), but for those of Airflow's hook.
    """
    found, extras = _read(variable, text, ("postgres", "postgresql"))
    query = {name: str(value) for name, value in extras.items() if name not in _HOOK_ONLY}
    host, port = found.host, found.port
    if host and host.startswith("/"):
        # The folder of a socket does not fit into a URL's host.
        query |= {"host": host} | ({"port": str(port)} if port else {})
        host = port = None
    elif "host" not in query:
        host = host or "localhost"
    return _url("postgresql", found, host, port, found.schema, query)


def redis(variable: str, text: str) -> str:
    """The `redis://` or `rediss://` URL of the connection that `text` describes.

    The database is the extra `db`, or a URI's path.
    """
    found, extras = _read(variable, text, ("redis", "rediss"))
    encrypted = extras.get("ssl", found.conn_type == "rediss")
    if not isinstance(encrypted, bool):
        # A URI can only say "false", which is true to who does not look closely.
        raise errors.SettingsError(
            f"the extra `ssl` of {variable} is not true or false; write the connection as JSON"
        )
    database = str(extras.get("db") or found.schema or 0)
    if not database.isdecimal():
        raise errors.SettingsError(f"the database of {variable} is no number; write the extra `db`")
    query = {name: str(extras[name]) for name in _TLS if encrypted and name in extras}
    scheme = "rediss" if encrypted else "redis"
    return _url(scheme, found, found.host or "localhost", found.port, database, query)


def archive(variable: str, text: str) -> Archive:
    """The credential of the connection that `text` describes, of whatever type it is.

    Its host counts for nothing: where the archive lies is said elsewhere, in the open.
    """
    found, extras = _read(variable, text, ())
    return Archive(None, found.login, found.password, extras)


def _read(
    variable: str, text: str, types: tuple[str, ...]
) -> tuple[_Connection, Mapping[str, Any]]:
    """The fields and extras of a connection of one of `types`; of any where none is named."""
    try:
        found = _of_json(text) if text.lstrip().startswith("{") else _of_uri(text)
        extras = found.extras()
    except (ValueError, exc.ArgumentError):
        # The cause is not kept: it may quote a part of the password.
        raise errors.SettingsError(
            f"{variable} cannot be read; write a URI or JSON, as Airflow's documentation of"
            " connections in environment variables says"
        ) from None
    if types and found.conn_type not in (None, *types):
        raise errors.SettingsError(
            f"{variable} is a connection of the type {found.conn_type!r}; {types[0]!r} is needed"
        )
    return found, extras


def _of_json(text: str) -> _Connection:
    fields = json.loads(text)
    port = fields.get("port") if isinstance(fields, dict) else None
    if isinstance(port, str):
        fields["port"] = int(port) if port else None
    return msgspec.convert(fields, _Connection)


def _of_uri(text: str) -> _Connection:
    url = sa.make_url(text)
    extra: dict[str, Any] = dict(url.query)
    if "__extra__" in extra:
        # Airflow's own way to put extras that are no texts into a URI.
        extra = msgspec.json.decode(str(extra["__extra__"]), type=dict[str, Any])
    return _Connection(
        conn_type=url.drivername,
        host=unquote(url.host or ""),
        login=url.username,
        password=None if url.password is None else str(url.password),
        port=url.port,
        schema=url.database,
        extra=extra,
    )


def _url(
    scheme: str,
    found: _Connection,
    host: str | None,
    port: int | None,
    database: str | None,
    query: Mapping[str, str],
) -> str:
    made = sa.URL.create(
        scheme,
        username=found.login or ("" if found.password else None),
        password=found.password or None,
        host=host,
        port=port,
        database=database or None,
        query=query,
    )
    return made.render_as_string(hide_password=False)


__all__ = ["archive", "postgresql", "redis"]
