"""Brings our schema to the current version; running it twice changes nothing."""

from __future__ import annotations

import io
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from crm_ops.base import database, errors, sql
from crm_ops.base.names import SCHEMA

_MINIMUM_VERSION = 150_000


def upgrade(engine: sa.Engine) -> str:
    """Create or upgrade the schema `crm_ops` in one transaction; return its revision.

    Needs CREATE on the database the first time, afterwards ownership of the schema.
    """
    with database.transaction(engine) as connection:
        _refuse_old_server(connection)
        database.lock(connection, "migrate")
        if not _schema_exists(connection):
            sql.run(connection, f"CREATE SCHEMA {sql.identifier(SCHEMA)}")
        command.upgrade(_config(connection), "head")
    return head()


def downgrade(engine: sa.Engine) -> None:
    """Remove the schema `crm_ops` with everything in it; the CRM's own tables are not touched."""
    with database.transaction(engine) as connection:
        database.lock(connection, "migrate")
        if _schema_exists(connection):
            command.downgrade(_config(connection), "base")
            sql.run(connection, f"DROP SCHEMA {sql.identifier(SCHEMA)} CASCADE")


def current(connection: sa.Connection) -> str | None:
    """The revision the database is at; None before the first upgrade."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision()


def require(connection: sa.Connection) -> None:
    """Raise unless the database is at this release's revision."""
    found = current(connection)
    if found != head():
        raise errors.SettingsError(
            f"our schema {SCHEMA} is at {found or 'nothing'} and {head()} is needed;"
            " run `crm-ops migrate`"
        )


def head() -> str:
    """The revision of this release."""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    if revision is None:
        raise errors.CrmOpsError("this installation has no migrations; install it again")
    return revision


def script() -> str:
    """All migrations as one SQL text, for review by a database administrator."""
    printed = io.StringIO()
    config = _config(None)
    config.output_buffer = printed
    command.upgrade(config, "head", sql=True)
    return printed.getvalue()


def _config(connection: sa.Connection | None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _schema_exists(connection: sa.Connection) -> bool:
    found = sql.run(
        connection, "SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s", schema=SCHEMA
    )
    return found.first() is not None


def _refuse_old_server(connection: sa.Connection) -> None:
    version = int(sql.run(connection, "SHOW server_version_num").scalar_one())
    if version < _MINIMUM_VERSION:
        raise errors.SettingsError(
            f"the server is PostgreSQL {version // 10_000}; 15 or newer is needed"
        )


__all__ = ["current", "downgrade", "head", "require", "script", "upgrade"]
