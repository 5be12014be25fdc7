"""A row's cells, from PostgreSQL's texts to Python's types: exact, whatever the type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal

_MAKE: Mapping[str, Callable[[str], object]] = {
    "smallint": int,
    "integer": int,
    "bigint": int,
    "numeric": Decimal,
    "real": float,
    "double precision": float,
    "boolean": lambda text: text == "true",
    "date": date.fromisoformat,
    "timestamp without time zone": datetime.fromisoformat,
    "timestamp with time zone": datetime.fromisoformat,
    "json": json.loads,
    "jsonb": json.loads,
}


def value(text: str | None, type_name: str) -> object:
    """The value of a cell; a moment beyond Python's calendar stays a text, as do other types."""
    make = _MAKE.get(type_name)
    if text is None or make is None:
        return text
    try:
        return make(text)
    except ValueError:
        return text


__all__ = ["value"]
