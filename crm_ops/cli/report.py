"""`crm-ops report`: the figures of a declared aggregate, rolled up and filtered."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import typer

from crm_ops.base import errors
from crm_ops.cli import asked, options, output
from crm_ops.read.answers import Group, Report

# What a spreadsheet takes for a formula begins so, also after what it leaves out.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")

# What --by says for a report that is split by nothing.
NOTHING = "nothing"


def command(
    name: Annotated[str, typer.Argument(help="An aggregate of the catalog.")],
    tenant: options.Tenant = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help=f"A dimension, or close_month:quarter; repeatable. `--by {NOTHING}` is the total.",
        ),
    ] = None,
    filter_by: options.Filters = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="The first period: 2026-03, 2026-Q1, 2026.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The last period, included.")] = None,
    max_age: options.MaxAge = None,
    explain: options.Explain = False,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Report the figures of an aggregate, rolled up and filtered.

    For example `crm-ops report revenue_by_close_month --tenant 1 --by close_month:quarter`; exit 2
    where something is asked for that is not declared, naming what is.
    """
    if as_json and as_csv:
        raise errors.ParameterError("--json and --csv exclude each other; give one")
    with asked.reader(database_url, redis_url, catalog) as reader:
        report = reader.report(
            name,
            tenant=tenant,
            by=() if by == [NOTHING] else by,
            filters=asked.filters(filter_by),
            begin=begin,
            end=end,
            not_older_than=asked.moment(max_age),
        )
    rows = [_row(group) for group in report.groups]
    if as_json:
        found: dict[str, object] = {
            "report": report.name,
            "by": report.by,
            "rows": rows,
            "as_of": report.as_of,
            "source": report.source,
        }
        output.json({**found, "steps": asked.explained(report.steps)} if explain else found)
    elif as_csv:
        _csv(_headings(report, rows), rows)
    else:
        _show(report, rows)
        if explain:
            output.steps(report.steps)


def _row(group: Group) -> dict[str, object]:
    """A line, flat: the dimensions, their labels where they have some, and the figures."""
    cells: dict[str, object] = {}
    for name, value in group.dimensions.items():
        cells[name] = value
        if group.labels[name] is not None:
            cells[f"{name} label"] = group.labels[name]
    return {**cells, **group.figures}


def _headings(report: Report, rows: list[dict[str, object]]) -> list[str]:
    # What stands for no value needs no column of its own.
    labelled = {
        f"{name} label"
        for row in rows
        for name in report.by
        if row[name] is not None and f"{name} label" in row
    }
    shown = [
        heading
        for name in report.by
        for heading in (name, f"{name} label")
        if heading == name or heading in labelled
    ]
    return [*shown, *report.measures]


def _csv(headings: list[str], rows: list[dict[str, object]]) -> None:
    writer = csv.DictWriter(sys.stdout, headings, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _harmless(cell) for name, cell in row.items()} for row in rows)


def _harmless(cell: object) -> object:
    """A text that a spreadsheet would run as a formula, with an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def _show(report: Report, rows: list[dict[str, object]]) -> None:
    headings = _headings(report, rows)
    output.table(
        headings,
        [[_cell(row, heading) for heading in headings] for row in rows],
        numbers=len(report.measures),
    )
    output.note(f"from {report.source}, as of {output.text(report.as_of)} UTC")


def _cell(row: Mapping[str, object], heading: str) -> object:
    value = row.get(heading)
    return f"{value:,}" if isinstance(value, Decimal) else value


__all__ = ["NOTHING", "command"]
