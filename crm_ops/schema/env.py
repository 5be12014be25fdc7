"""Alembic's entry: runs the migrations on the connection it is handed, or prints them as SQL."""

from __future__ import annotations

from alembic import context

from crm_ops.base.names import SCHEMA

connection = context.config.attributes.get("connection")
context.configure(
    connection=connection,
    dialect_name=None if connection is not None else "postgresql",
    version_table_schema=SCHEMA,
    transactional_ddl=True,
)
with context.begin_transaction():
    if context.is_offline_mode():
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    context.run_migrations()
