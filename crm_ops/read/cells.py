"""A row's cells, from PostgreSQL's texts to Python's types: exact, whatever the type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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


def values(texts: Sequence[str | None], type_name: str) -> Sequence[object]:
    """The values of a column; a moment beyond Python's calendar stays a text, as do other types."""
    make = _MAKE.get(type_name)
    if make is None:
        return texts
    try:
        return [None if text is None else make(text) for text in texts]
    except ValueError:
        return [_value(text, make) for text in texts]


def _value(text: str | None, make: Callable[[str], object]) -> object:
    try:
        return None if text is None else make(text)
    except ValueError:
        return text


__all__ = ["values"]
