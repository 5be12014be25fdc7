"""`crm-ops audit hold`: legal holds, which keep rows from being dropped."""

from __future__ import annotations

import dataclasses
import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from crm_ops.audit import holds
from crm_ops.base import database, errors
from crm_ops.cli import opening, options, output
from crm_ops.jobs import audit_log
from crm_ops.jobs.work import Tools

app = typer.Typer(help="Legal holds: rows that must stay.", no_args_is_help=True)


@opening.command(app, "add")
def add(
    opened: Tools,
    reason: Annotated[str, typer.Option("--reason", help="Why: the case, the order.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's rows.")] = None,
    object_: Annotated[
        str | None,
        typer.Option("--object", help="Only this object's rows, as the catalog joins it: lead:42."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Only rows from this moment on, in UTC.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--to", help="Only rows before this moment, in UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="When the hold ends by itself, in UTC.")
    ] = None,
    who: Annotated[str | None, typer.Option("--who", help="Who asks for it; else you.")] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Place a hold: what holds a row that it names is not dropped. Prints its number."""
    policy = audit_log.policy(opened)
    with database.transaction(opened.engine, keep=not dry_run) as connection:
        number = holds.add(
            connection,
            policy,
            tenant=tenant,
            object_=object_,
            lower=_moment(since),
            upper=_moment(before),
            reason=reason,
            placed_by=who or getpass.getuser(),
            until=_moment(until),
            now=opened.clock(),
        )
    if dry_run:
        output.note("the hold is well-formed; it was not placed")
        return
    typer.echo(str(number))


@opening.command(app, "list")
def list_(
    opened: Tools,
    ended: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show the holds in force."""
    policy = audit_log.policy(opened)
    with database.transaction(opened.engine) as connection:
        found = holds.read(connection, policy, ended=ended)
    if as_json:
        output.json(found)
        return
    output.table(
        (
            "hold",
            "tenant",
            "object",
            "from (UTC)",
            "to (UTC)",
            "reason",
            "placed by",
            "placed",
            "until",
            "lifted by",
            "lifted",
        ),
        [(str(each.id), *dataclasses.astuple(each)[1:]) for each in found],
        numbers=0,
    )


@opening.command(app, "lift")
def lift(
    opened: Tools,
    number: Annotated[int, typer.Argument(help="The hold's number.")],
    who: Annotated[str | None, typer.Option("--who", help="Who lifts it; else you.")] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Lift a hold; the record of it stays."""
    policy = audit_log.policy(opened)
    with database.transaction(opened.engine, keep=not dry_run) as connection:
        holds.lift(connection, policy, number, lifted_by=who or getpass.getuser())
    output.note(f"hold {number} {'could be' if dry_run else 'is'} lifted")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise errors.ParameterError(
            f"{text!r} is no moment; write 2023-02-01 or 2023-02-01T13:00+00:00"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


__all__ = ["app"]
