"""`crm-ops catalog`: looks over what is declared."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_ops.base import database
from crm_ops.catalog import json_schema, load
from crm_ops.cli import options, output, tools
from crm_ops.read import indexes
from crm_ops.sources import check

app = typer.Typer(help="What is counted: the catalog file.", no_args_is_help=True)


@app.callback()
def catalog() -> None:
    """What is counted: the catalog file."""


@app.command("validate")
def validate(
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the file alone, not the database.")
    ] = False,
) -> None:
    """Check the catalog, and its tables and columns in the database; exit 1 with every problem."""
    given = tools.settings_from(database_url, None, catalog)
    loaded = load.load(given.catalog)
    declared = loaded.catalog
    if not offline:
        engine = database.engine(given.require_database())
        with database.transaction(engine) as connection:
            check.check(connection, loaded)
        engine.dispose()
    facets = sum(len(entity.facets) for entity in declared.entities.values())
    output.note(
        f"{given.catalog}: valid{' (the database was not looked at)' if offline else ''}:"
        f" {len(declared.entities)} entities, {facets} facets,"
        f" {len(declared.aggregates)} aggregates"
    )


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the catalog, for editors."""
    typer.echo(json_schema.text())


@app.command("indexes")
def search_indexes(catalog: options.CatalogPath = None) -> None:
    """Print the indexes that make searches fast, as SQL; nothing is created."""
    given = tools.settings_from(None, None, catalog)
    for statement in indexes.statements(load.load(given.catalog).catalog):
        typer.echo(statement)


__all__ = ["app"]
