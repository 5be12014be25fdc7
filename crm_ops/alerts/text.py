"""Writes what people read in an alert: what it is about, since when, what to do, where to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

# So many tenants are named; the ledger has all of them.
_NAMED = 20


def message(title: str, rows: Mapping[str, str | None]) -> str:
    """A title, an empty line, and a line for each row that says something."""
    lines = [f"{name}: {said}" for name, said in rows.items() if said]
    return "\n".join([title, "", *lines])


def title(text: str) -> str:
    """The title of a message."""
    return text.split("\n", 1)[0]


def body(text: str) -> str:
    """A message without its title."""
    return text.partition("\n")[2].lstrip("\n")


def moment(at: datetime) -> str:
    """A moment to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, thing: str) -> str:
    """`3 tenants`, `1 tenant`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def several(items: Iterable[str]) -> str:
    """The first items of a list, and how many more there are."""
    every = list(items)
    more = len(every) - _NAMED
    return "; ".join(every[:_NAMED]) + (f"; and {more:,} more" if more > 0 else "")


__all__ = ["body", "count", "message", "moment", "several", "title"]
