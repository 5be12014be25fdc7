"""`crm-ops audit`: the audit log's partitions, its archive, and legal holds."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from crm_ops.audit import adoption, holds, inspection, layout, query, restoration, summary
from crm_ops.audit.months import Month
from crm_ops.audit.plan import Plan
from crm_ops.base import database, errors
from crm_ops.base.sql import Relation
from crm_ops.cli import exits, options, output, tools
from crm_ops.jobs import audit as job
from crm_ops.jobs.work import Tools

app = typer.Typer(help="The audit log: partitions, archive, legal holds.", no_args_is_help=True)
hold = typer.Typer(help="Legal holds: rows that must stay.", no_args_is_help=True)
app.add_typer(hold, name="hold")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]


@app.command("partitions")
def partitions(
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Show the partitions, what waits in DEFAULT, and what is detached."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        found = layout.look(opened.engine, job.policy_of(opened))
        told = summary.of(found, opened.clock())
    rows: list[tuple[object, ...]] = [
        (
            each.table,
            each.state or "attached",
            each.stretch.lower,
            each.stretch.upper,
            each.rows,
            each.bytes,
        )
        for each in (*found.partitions, *found.detached)
    ]
    if found.default is not None:
        rows.append(
            (found.default.table, "default", None, None, found.default.rows, found.default.bytes)
        )
    headings = ("table", "state", "from (UTC)", "to (UTC)", "rows", "bytes")
    if as_json:
        keys = ("table", "state", "lower", "upper", "rows", "bytes")
        listed = [dict(zip(keys, (str(row[0]), *row[1:]), strict=True)) for row in rows]
        output.json({"partitions": listed, "summary": msgspec.to_builtins(told)})
        return
    output.table(headings, rows, numbers=2)
    output.note(f"partitions reach {told.runway_days} days ahead; rows of months are estimates")


@app.command("plan")
def plan(
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Say what maintenance would do now: what it creates, archives and drops, and what stays."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        planned = job.look(opened)[1].to_dict()
    if as_json:
        output.json(planned)
        return
    _show_plan(planned)


@app.command("archive")
def archive(
    dry_run: DryRun = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Detach what has expired, archive it, read it back, and drop what may be dropped."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        planned = job.look(opened)[1]
        if dry_run:
            told = planned.to_dict()
            output.json(told) if as_json else _show_plan({**told, "create": [], "finalize": []})
            return
        done, failed = _archive(opened, planned)
    keys = (
        "table",
        "detached",
        "late rows",
        "exported rows",
        "verified rows",
        "bytes",
        "dropped",
        "dropped rows",
    )
    if as_json:
        output.json(
            {"tables": [{"table": table, **figures} for table, figures in done], "failed": failed}
        )
    else:
        output.table(keys, [(table, *figures.values()) for table, figures in done], numbers=7)
    for table, why in failed.items():
        output.note(f"{table}: {why}")
    raise typer.Exit(exits.FAILED if failed else exits.DONE)


@app.command("verify-archive")
def verify_archive(
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Read every archived file again; exit 3 with each one altered, missing or added."""
    with (
        tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened,
        output.progress() as report,
    ):
        found = inspection.inspect(
            opened.engine,
            job.storage_of(opened),
            _log(opened),
            lambda done, of, _name: report("reading the archive", done, of),
        )
    if as_json:
        output.json({**msgspec.to_builtins(found), "sound": found.sound})
    else:
        output.table(
            ("files", "rows", "links", "head of the chain"),
            [(found.files, found.rows, found.links, found.head)],
            numbers=0,
        )
        if found.findings:
            output.table(
                ("finding", "name", "why"),
                [(each.what, each.name, each.why) for each in found.findings],
                numbers=0,
            )
    if not found.sound:
        output.note(f"the archive is not as it was written: {len(found.findings)} finding(s)")
    raise typer.Exit(exits.DONE if found.sound else exits.UNHEALTHY)


@app.command("restore")
def restore(
    month: Annotated[str, typer.Argument(help="The month, as 2023-02.")],
    into: Annotated[
        str | None, typer.Option("--into", help="The table to restore to, as schema.table.")
    ] = None,
    attach: Annotated[
        bool, typer.Option("--attach", help="Make it a partition of the audit log again.")
    ] = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Bring an archived month back; a second time changes nothing."""
    wanted = _month(month)
    if into is not None and attach:
        raise errors.ParameterError("--into and --attach are two ways; choose one")
    table = Relation.parse(into) if into is not None else None
    with (
        tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened,
        output.progress() as report,
    ):
        entries = restoration.entries_of(opened.engine, _log(opened), wanted)
        rows = sum(each.rows for each in entries)
        target = table or restoration.default_table(_log(opened), wanted)
        if dry_run:
            output.note(f"{rows:,} rows of {len(entries)} file(s) would be restored to {target}")
            return
        done = restoration.restore(
            opened.engine,
            job.storage_of(opened),
            job.policy_of(opened),
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


@app.command("query")
def read(
    months: Annotated[list[str], typer.Argument(help="Months, as 2023-02.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's rows.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="A condition in SQL, as \"action = 'delete'\".")
    ] = None,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Read archived months where they lie; with --json one object in each line."""
    wanted = [_month(text) for text in months]
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        entries = {
            entry.number: entry
            for month in wanted
            for entry in restoration.entries_of(opened.engine, _log(opened), month)
        }
        names, rows = query.rows(
            job.storage_of(opened),
            job.policy_of(opened),
            list(entries.values()),
            tenant=tenant,
            where=where,
        )
        if as_json:
            for row in rows:
                typer.echo(msgspec.json.encode(dict(zip(names, row, strict=True))).decode())
        else:
            output.table(names, rows, numbers=0)


@app.command("adopt")
def adopt(
    table: Annotated[str, typer.Argument(help="The unpartitioned table, as schema.table.")],
    undo: Annotated[
        bool, typer.Option("--undo", help="Give up an adoption that is not finished.")
    ] = False,
    dry_run: DryRun = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Make an unpartitioned audit table a partitioned one while writers go on."""
    with (
        tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened,
        output.progress() as report,
    ):
        policy = job.policy_of(opened)
        with database.transaction(opened.engine) as connection:
            made = adoption.plan(connection, Relation.parse(table), policy, opened.clock())
        if dry_run:
            _show_adoption(made, as_json=as_json)
            raise typer.Exit(exits.FAILED if made.hindrances else exits.DONE)
        if undo:
            undone = adoption.undo(opened.engine, made)
            output.note("undone" if undone else "no adoption of it has begun")
            return
        done = adoption.adopt(
            opened.engine,
            made,
            policy,
            progress=lambda rows: report(f"copying {table}", rows, max(made.rows, rows)),
        )
    if as_json:
        output.json({"table": table, "rows": done.rows, "before": str(done.before)})
        return
    output.note(
        f"{table} is partitioned; {done.rows:,} rows were compared row for row. The old table is"
        f" {done.before}: drop it when you no longer need it"
    )


@hold.command("add")
def hold_add(
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
    dry_run: DryRun = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Place a hold: what holds a row that it names is not dropped. Prints its number."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        policy = job.policy_of(opened)
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


@hold.command("list")
def hold_list(
    ended: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Show the holds in force."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        policy = job.policy_of(opened)
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


@hold.command("lift")
def hold_lift(
    number: Annotated[int, typer.Argument(help="The hold's number.")],
    who: Annotated[str | None, typer.Option("--who", help="Who lifts it; else you.")] = None,
    dry_run: DryRun = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Lift a hold; the record of it stays."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        policy = job.policy_of(opened)
        with database.transaction(opened.engine, keep=not dry_run) as connection:
            holds.lift(connection, policy, number, lifted_by=who or getpass.getuser())
    output.note(f"hold {number} {'could be' if dry_run else 'is'} lifted")


def _archive(
    opened: Tools, planned: Plan
) -> tuple[list[tuple[str, dict[str, int]]], dict[str, str]]:
    """What was done by table, and why a table was not finished: it does not stop the others."""
    done, failed = [], {}
    with output.progress() as report:
        for each in job.leaving(planned):
            table, rows = str(each.table), max(each.rows, 1)
            progress = functools.partial(_tell, report, table, rows)
            try:
                figures = job.retire(opened, job.only(planned, table), progress)
            except errors.CrmOpsError as error:
                failed[table] = str(error)
            else:
                done.append((table, figures))
    return done, failed


def _tell(report: output.Report, table: str, rows: int, written: int) -> None:
    report(table, written, max(rows, written))


def _show_plan(planned: dict[str, Any]) -> None:
    steps = [
        (
            step,
            each["table"],
            each["lower"][:10],
            each["upper"][:10],
            None,
            each.get("rows"),
            each.get("bytes"),
        )
        for step in ("finalize", "create", "detach", "late", "archive", "drop")
        for each in planned[step]
    ]
    kept = [
        ("keep", each["table"], None, None, each["why"], None, None) for each in planned["kept"]
    ]
    output.table(
        ("step", "table", "from", "to", "why", "rows", "bytes"), [*steps, *kept], numbers=2
    )
    for step in dict.fromkeys(row[0] for row in steps):
        output.note(f"{step} locks {planned['locks'][step]}")
    output.note(f"the partitions will reach {planned['runway_days']} days ahead")


def _show_adoption(made: adoption.Adoption, *, as_json: bool) -> None:
    months = [f"{each.year:04}-{each.month:02}" for each in made.months]
    if as_json:
        output.json(
            {
                "table": str(made.table),
                "rows": made.rows,
                "copied": made.copied,
                "months": months,
                "hindrances": made.hindrances,
                "before": str(made.before),
            }
        )
        return
    output.table(
        ("table", "becomes", "months", "copied", "rows"),
        [(made.table, made.before, f"{months[0]} to {months[-1]}", made.copied, made.rows)],
        numbers=2,
    )
    for each in made.hindrances:
        output.note(f"in the way: {each}")


def _log(opened: Tools) -> Relation:
    return Relation.parse(job.policy_of(opened).table)


def _month(text: str) -> Month:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) or text < "0001":
        raise errors.ParameterError(f"{text!r} is no month; write it as 2023-02")
    return Month(int(text[:4]), int(text[5:]))


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
