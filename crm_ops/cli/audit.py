"""`crm-ops audit`: the audit log's partitions, and what maintenance does with them."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import typer

from crm_ops.audit import layout, summary
from crm_ops.audit.layout import Layout
from crm_ops.audit.plan import Plan
from crm_ops.base import errors
from crm_ops.cli import adopt, archive, exits, hold, opening, options, output
from crm_ops.jobs import audit_log, retirement
from crm_ops.jobs.retirement import Figures
from crm_ops.jobs.work import Tools

app = typer.Typer(help="The audit log: partitions, archive, legal holds.", no_args_is_help=True)

_ARCHIVED = {
    "detached": "detached_partitions",
    "late rows": "late_rows",
    "exported rows": "exported_rows",
    "verified rows": "verified_rows",
    "bytes": "verified_bytes",
    "dropped": "dropped_partitions",
    "dropped rows": "dropped_rows",
}


@opening.command(app, "partitions")
def partitions(opened: Tools, as_json: options.Json = False) -> None:
    """Show the partitions, what waits in DEFAULT, and what is detached."""
    found = layout.look(opened.engine, audit_log.policy(opened))
    told = summary.of(found, opened.clock())
    rows = _partitions(found)
    if as_json:
        keys = ("table", "state", "lower", "upper", "rows", "bytes")
        listed = [dict(zip(keys, (str(row[0]), *row[1:]), strict=True)) for row in rows]
        output.json({"partitions": listed, "summary": msgspec.to_builtins(told)})
        return
    output.table(("table", "state", "from (UTC)", "to (UTC)", "rows", "bytes"), rows, numbers=2)
    output.note(f"partitions reach {_days(told.runway_days)} ahead; rows of months are estimates")


@opening.command(app, "plan")
def plan(opened: Tools, as_json: options.Json = False) -> None:
    """Say what maintenance would do now: what it creates, archives and drops, and what stays."""
    planned = audit_log.look(opened)[1].to_dict()
    output.json(planned) if as_json else _show_plan(planned)


@opening.command(app, "archive")
def retire(opened: Tools, dry_run: options.DryRun = False, as_json: options.Json = False) -> None:
    """Detach what has expired, archive it, read it back, and drop what may be dropped."""
    planned = audit_log.look(opened)[1]
    if dry_run:
        told = planned.to_dict()
        output.json(told) if as_json else _show_plan({**told, "create": [], "finalize": []})
        return
    done, failed = _retire(opened, planned)
    left = {str(each.table): each.why for each in audit_log.look(opened)[1].kept}
    stay = {table: left[table] for table in done if table in left}
    if as_json:
        tables = [{"table": table, **figures} for table, figures in done.items()]
        output.json({"tables": tables, "kept": stay, "failed": failed})
    else:
        rows = [(table, *(each[key] for key in _ARCHIVED.values())) for table, each in done.items()]
        output.table(("table", *_ARCHIVED), rows, numbers=7)
    for table, why in stay.items():
        output.note(f"{table} is kept: {why}")
    for table, why in failed.items():
        output.note(f"{table}: {why}")
    raise typer.Exit(exits.FAILED if failed else exits.DONE)


archive.register(app)
adopt.register(app)
app.add_typer(hold.app, name="hold")


def _partitions(found: Layout) -> list[tuple[object, ...]]:
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
    return rows


def _retire(opened: Tools, planned: Plan) -> tuple[dict[str, Figures], dict[str, str]]:
    """What was done by table, and why a table was not finished: it does not stop the others."""
    done: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    with output.progress() as report:
        for each in retirement.leaving(planned):
            table, rows = str(each.table), max(each.rows, 1)
            progress = functools.partial(_tell, report, table, rows)
            try:
                done[table] = retirement.retire(opened, retirement.only(planned, table), progress)
            except errors.CrmOpsError as error:
                failed[table] = str(error)
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
    output.note(f"the partitions will reach {_days(planned['runway_days'])} ahead")


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


__all__ = ["app"]
