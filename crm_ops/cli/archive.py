"""`crm-ops audit verify-archive`, `restore` and `query`: what can be done with archived months."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer

from crm_ops.audit import inspection, query, restoration
from crm_ops.audit.months import Month
from crm_ops.base import errors
from crm_ops.base.sql import Relation
from crm_ops.cli import exits, opening, options, output
from crm_ops.jobs import audit_log
from crm_ops.jobs.work import Tools


def register(app: typer.Typer) -> None:
    """Give `app` the three commands."""
    opening.command(app, "verify-archive")(verify)
    opening.command(app, "restore")(restore)
    opening.command(app, "query")(read)


def verify(opened: Tools, as_json: options.Json = False) -> None:
    """Read every archived file again; exit 3 with each one altered, missing or added."""
    with output.progress() as report:
        found = inspection.inspect(
            opened.engine,
            audit_log.storage(opened),
            _log(opened),
            lambda done, of, _name: report("reading the archive", done, of),
        )
    if as_json:
        output.json({**msgspec.to_builtins(found), "sound": found.sound})
    else:
        _show(found)
    if not found.sound:
        output.note(f"the archive is not as it was written: {len(found.findings)} finding(s)")
    raise typer.Exit(exits.DONE if found.sound else exits.UNHEALTHY)


def restore(
    opened: Tools,
    month: Annotated[str, typer.Argument(help="The month, as 2023-02.")],
    into: Annotated[
        str | None, typer.Option("--into", help="The table to restore to, as schema.table.")
    ] = None,
    attach: Annotated[
        bool, typer.Option("--attach", help="Make it a partition of the audit log again.")
    ] = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Bring an archived month back; a second time changes nothing."""
    wanted = _month(month)
    if into is not None and attach:
        raise errors.ParameterError("--into and --attach are two ways; choose one")
    table = Relation.parse(into) if into is not None else None
    entries = restoration.entries_of(opened.engine, _log(opened), wanted)
    rows = sum(each.rows for each in entries)
    target = table or restoration.default_table(_log(opened), wanted)
    if dry_run:
        if as_json:
            output.json({"table": str(target), "files": len(entries), "rows": rows})
        output.note(f"{rows:,} rows of {len(entries)} file(s) would be restored to {target}")
        return
    with output.progress() as report:
        done = restoration.restore(
            opened.engine,
            audit_log.storage(opened),
            audit_log.policy(opened),
            wanted,
            into=table,
            attach=attach,
            progress=lambda restored: report(f"restoring {target}", restored, rows),
        )
    if as_json:
        output.json({**msgspec.to_builtins(done), "table": str(done.table)})
        return
    output.table(
        ("table", "attached", "was there already", "files", "rows"),
        [(done.table, done.attached, done.already, done.files, done.rows)],
        numbers=2,
    )


def read(
    opened: Tools,
    months: Annotated[list[str], typer.Argument(help="Months, as 2023-02.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's rows.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="A condition in SQL, as \"action = 'delete'\".")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Read archived months where they lie; with --json one object in each line."""
    entries = {
        entry.number: entry
        for month in [_month(text) for text in months]
        for entry in restoration.entries_of(opened.engine, _log(opened), month)
    }
    names, rows = query.rows(
        audit_log.storage(opened),
        audit_log.policy(opened),
        list(entries.values()),
        tenant=tenant,
        where=where,
    )
    if as_json:
        for row in rows:
            typer.echo(msgspec.json.encode(dict(zip(names, row, strict=True))).decode())
    else:
        output.records(names, rows)


def _show(found: inspection.Inspection) -> None:
    output.table(
        ("files", "rows", "links", "head of the chain"),
        [(found.files, found.rows, found.links, found.head)],
        numbers=0,
    )
    if found.waiting:
        output.note(
            f"{found.waiting} file(s) have no link yet: their export has not ended; the next run"
            " ends it"
        )
    if found.findings:
        output.table(
            ("finding", "name", "why"),
            [(each.what, each.name, each.why) for each in found.findings],
            numbers=0,
        )


def _log(opened: Tools) -> Relation:
    return Relation.parse(audit_log.policy(opened).table)


def _month(text: str) -> Month:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) or text < "0001":
        raise errors.ParameterError(f"{text!r} is no month; write it as 2023-02")
    return Month(int(text[:4]), int(text[5:]))


__all__ = ["register"]
