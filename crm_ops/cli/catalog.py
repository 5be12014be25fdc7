"""`crm-ops catalog`: looks over what is declared, and has the CRM's changes captured for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from crm_ops.base import database, sql
from crm_ops.catalog import json_schema, load
from crm_ops.changes import install
from crm_ops.cli import options, output, tools
from crm_ops.read import indexes
from crm_ops.schema import migrate
from crm_ops.sharing import install as sharing
from crm_ops.sources import check

app = typer.Typer(help="What is counted: the catalog file.", no_args_is_help=True)


_SHARING = "say when sharing changes"

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


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
        with tools.engine(given) as engine, database.transaction(engine) as connection:
            check.check(connection, loaded)
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


@app.command("plan")
def plan(
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
    as_json: options.Json = False,
) -> None:
    """Print the SQL that `apply` would run: logs, functions and triggers that are not as needed."""
    with _connected(database_url, catalog) as (engine, loaded):
        steps, watched = _planned(engine, loaded)
    planned = [(step.title, list(step.sql)) for step in steps]
    planned += [(_SHARING, watched)] if watched else []
    rows = [(title, [sql.readable(each) for each in texts]) for title, texts in planned]
    if as_json:
        output.json({"steps": [{"title": title, "sql": texts} for title, texts in rows]})
        return
    for title, texts in rows:
        typer.echo(f"-- {title}\nBEGIN;")
        for statement in texts:
            typer.echo(f"{statement};")
        typer.echo("COMMIT;\n")
    if not rows:
        output.note("nothing to do: changes are captured as the catalog needs them")


@app.command("apply")
def apply(
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
    dry_run: DryRun = False,
) -> None:
    """Have changes captured, and those of sharing told: triggers on each table; repeatable."""
    with _connected(database_url, catalog) as (engine, loaded):
        steps, watched = _planned(engine, loaded)
        if not dry_run:
            install.apply(engine, steps)
            sharing.apply(engine, loaded.catalog)
    _tell(
        [step.title for step in steps] + [_SHARING] * bool(watched),
        "nothing to do: changes are captured as the catalog needs them",
    )


@app.command("remove")
def remove(
    database_url: options.DatabaseUrl = None,
    dry_run: DryRun = False,
) -> None:
    """Take all logs, functions and triggers of ours away; every run then counts anew."""
    engine = database.engine(tools.settings_from(database_url).require_database())
    with database.transaction(engine) as connection:
        migrate.require(connection)
        steps = install.removal(connection)
    if not dry_run:
        install.apply(engine, steps)
        sharing.remove(engine)
    engine.dispose()
    _tell([step.title for step in steps], "nothing to do: no changes are captured")


@contextmanager
def _connected(
    database_url: str | None, catalog: Path | None
) -> Iterator[tuple[sa.Engine, load.Loaded]]:
    given = tools.settings_from(database_url, None, catalog)
    loaded = load.load(given.catalog)
    engine = database.engine(given.require_database())
    yield engine, loaded
    engine.dispose()


def _planned(engine: sa.Engine, loaded: load.Loaded) -> tuple[list[install.Step], list[str]]:
    """What captures changes, and the SQL of what says when sharing changes."""
    with database.transaction(engine) as connection:
        migrate.require(connection)
        check.check(connection, loaded)
        return install.plan(connection, loaded.catalog), sharing.plan(connection, loaded.catalog)


def _tell(titles: list[str], nothing: str) -> None:
    for title in titles:
        output.note(title)
    if not titles:
        output.note(nothing)


__all__ = ["app"]
