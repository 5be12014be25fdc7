"""`crm-ops access`: who may see what and why, from PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from crm_ops.base import database, errors
from crm_ops.catalog import load
from crm_ops.cli import options, output, tools
from crm_ops.read.access import Access, Record, User

app = typer.Typer(help="Who may see what, and why.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option("--tenant", help="The tenant's key.")]
UserKey = Annotated[str, typer.Option("--user", help="The user's key.")]
Entity = Annotated[str, typer.Option("--entity", help="An entity of the catalog.")]
RecordKey = Annotated[str, typer.Option("--record", help="The record's key.")]

# The options that give keys; what cannot be one is told by its name.
_KEYS = ("tenant", "user", "record")


@app.command("explain")
def explain(
    tenant: Tenant,
    user: UserKey,
    entity: Entity,
    record: RecordKey,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Say by which ways a user may see a record, or why not."""
    with _access(database_url, catalog) as (access, connection):
        found = access.explain(connection, User(tenant, user), Record(entity, record))
    if as_json:
        output.json(
            {
                "tenant": tenant,
                "user": user,
                "entity": entity,
                "record": record,
                "level": found.level,
                "grants": found.grants,
                "why_not": found.why_not,
                "broken": [
                    {"rule": each.rule, "name": each.name, "why": each.why} for each in found.broken
                ],
            }
        )
        return
    typer.echo(f"user {user} of tenant {tenant}, {entity} {record}: {found.level or 'no access'}")
    for grant in found.grants:
        typer.echo(f"  {grant.level}: {grant.way}")
    for reason in found.why_not:
        typer.echo(f"  {reason}")
    for each in found.broken:
        typer.echo(f"  {each.title} grants nothing: {each.why}")


@app.command("who")
def who(
    tenant: Tenant,
    entity: Entity,
    record: RecordKey,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """List the users who may see a record, how far, and by which ways."""
    with _access(database_url, catalog) as (access, connection):
        found = access.who(connection, tenant, Record(entity, record))
    if as_json:
        output.json(found)
        return
    output.table(
        ("user", "level", "by"),
        [(seer.user, seer.level, "; ".join(grant.way for grant in seer.grants)) for seer in found],
        numbers=0,
    )


@app.command("visible")
def visible(
    tenant: Tenant,
    user: UserKey,
    entity: Entity,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """List the keys of the records that a user may see; needs the triggers of `catalog apply`."""
    with _access(database_url, catalog) as (access, connection):
        keys = sorted(access.keys(connection, User(tenant, user), entity), key=_rank)
    if as_json:
        output.json(keys)
        return
    for key in keys:
        typer.echo(key)


def _rank(key: str) -> tuple[int, str]:
    return (len(key), key) if key.isdigit() else (1 << 30, key)


@contextmanager
def _access(
    database_url: str | None, catalog: Path | None
) -> Iterator[tuple[Access, sa.Connection]]:
    given = tools.settings_from(database_url, None, catalog)
    declared = load.load(given.catalog).catalog
    engine = database.engine(given.require_database())
    try:
        with database.transaction(engine, isolation="REPEATABLE READ") as connection:
            yield Access(connection, declared), connection
    except errors.ParameterError as error:
        if error.parameter in _KEYS:
            raise errors.ParameterError(f"--{error}") from error
        raise
    finally:
        engine.dispose()


__all__ = ["app"]
