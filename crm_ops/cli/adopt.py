"""`crm-ops audit adopt`: an unpartitioned audit table becomes a partitioned one."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_ops.audit import adoption
from crm_ops.base import database
from crm_ops.base.sql import Relation
from crm_ops.cli import exits, opening, options, output
from crm_ops.jobs import audit_log
from crm_ops.jobs.work import Tools


def register(app: typer.Typer) -> None:
    """Give `app` the command."""
    opening.command(app, "adopt")(adopt)


def adopt(
    opened: Tools,
    table: Annotated[str, typer.Argument(help="The unpartitioned table, as schema.table.")],
    undo: Annotated[
        bool, typer.Option("--undo", help="Give up an adoption that is not finished.")
    ] = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Make an unpartitioned audit table a partitioned one while writers go on."""
    policy = audit_log.policy(opened)
    with database.transaction(opened.engine) as connection:
        made = adoption.plan(connection, Relation.parse(table), policy, opened.clock())
    if dry_run:
        _show(made, as_json=as_json)
        raise typer.Exit(exits.FAILED if made.hindrances else exits.DONE)
    if undo:
        undone = adoption.undo(opened.engine, made)
        output.note("undone" if undone else "no adoption of it has begun")
        return
    with output.progress() as report:
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


def _show(made: adoption.Adoption, *, as_json: bool) -> None:
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
    reach = f"{months[0]} to {months[-1]}" if months else None
    output.table(
        ("table", "becomes", "months", "copied", "rows"),
        [(made.table, made.before, reach, made.copied, made.rows)],
        numbers=2,
    )
    output.note("rows are PostgreSQL's estimate")
    for each in made.hindrances:
        output.note(f"in the way: {each}")


__all__ = ["register"]
