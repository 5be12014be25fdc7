"""`crm-ops migrate`: creates or upgrades our schema, or prints the SQL for review."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_ops.cli import options, output, tools
from crm_ops.schema import migrate


def command(
    as_sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL of all migrations; connect to nothing.")
    ] = False,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Bring the schema crm_ops to this release's version; a second time it changes nothing."""
    if as_sql:
        typer.echo(migrate.script())
        return
    with tools.engine(tools.settings_from(database_url)) as engine:
        revision = migrate.upgrade(engine)
    output.note(f"schema crm_ops is at revision {revision}")


__all__ = ["command"]
