"""What a command prints: data on stdout, everything else on stderr, progress only on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from crm_ops.base import sql
from crm_ops.read.answers import Step


class Report(Protocol):
    """Hears how far something is."""

    def __call__(self, what: str, done: int, of: int, /) -> None:
        """Take note: what it is about, how much is done, of how much."""


def json(value: object) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int) -> None:
    """Print a table and a blank line on stdout; the last `numbers` columns align to the right."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for at, heading in enumerate(headings):
        right = at >= len(headings) - numbers
        shown.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(text(cell) for cell in row))
    # Lines are kept whole, also in a pipe or a narrow window.
    Console(width=Console(width=1_000).measure(shown).maximum).print(shown)
    typer.echo()


def records(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows of the CRM: whole numbers may be keys, and have no commas."""
    plain = ([str(cell) if type(cell) is int else cell for cell in row] for row in rows)
    table(headings, plain, numbers=0)


def steps(done: Sequence[Step]) -> None:
    """Print the steps of an answer: where, what, how long, and the statement with its values."""
    table(
        ("where", "what", "took ms"),
        [(step.where, step.what, f"{step.took_ms:.2f}") for step in done],
        numbers=1,
    )
    for step in done:
        if step.statement is not None:
            typer.echo(sql.readable(step.statement).strip())
            typer.echo(f"-- with {dict(step.values or {})}\n")


def text(cell: object) -> str:
    """A cell as a person reads it."""
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case datetime():
            return cell.strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(cell)


def note(message: str) -> None:
    """Tell a person something on stderr."""
    typer.echo(message, err=True)


@contextmanager
def progress() -> Iterator[Report]:
    """A progress line on stderr for each thing reported; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done, _of: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        known: dict[str, TaskID] = {}

        def report(what: str, done: int, of: int, /) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=of)
            bars.update(known[what], completed=done, total=of)

        yield report


__all__ = ["Report", "json", "note", "progress", "records", "steps", "table", "text"]
