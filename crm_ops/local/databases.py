"""The databases of the embedded PostgreSQL, and what was noted of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.local.postgres import Server


def ensure(server: Server, name: str) -> None:
    """Create the database `name` where it is not there yet."""
    with _administration(server) as connection:
        there = sql.run(
            connection, "SELECT 1 FROM pg_database WHERE datname = %(name)s", name=name
        ).scalar()
        if there is None:
            sql.run(connection, f"CREATE DATABASE {sql.identifier(name)}")


def note(server: Server, name: str, text: str) -> None:
    """Note `text` of the database `name`; the note is gone when the database is."""
    with _administration(server) as connection:
        comment = f"COMMENT ON DATABASE {sql.identifier(name)} IS {sql.literal(text)}"
        sql.run(connection, comment)


def noted(server: Server, name: str) -> str:
    """What `note` last noted of the database `name`, or ""."""
    with _administration(server) as connection:
        text = sql.run(
            connection,
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE datname = %(name)s",
            name=name,
        ).scalar()
    return str(text or "")


@contextmanager
def _administration(server: Server) -> Iterator[sa.Connection]:
    engine = database.engine(server.url("postgres"))
    try:
        with database.autocommit(engine) as connection:
            yield connection
    except errors.DatabaseUnavailable as error:
        reason = str(error.__cause__).splitlines()[0]
        raise errors.LocalError(
            f"the PostgreSQL of {server.data} cannot be used: {reason};"
            " remove the local stack and its data with `make clean`"
        ) from error
    finally:
        engine.dispose()


__all__ = ["ensure", "note", "noted"]
