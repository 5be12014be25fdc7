"""The kinds of fields that a sharing rule may test, and the one written form of their values.

A value is kept as text of its kind, so that PostgreSQL (`'25.5'::numeric`) and Python
(`Decimal('25.5')`) read exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from decimal import Decimal
from reprlib import repr as short
from typing import Literal
from uuid import UUID

from crm_ops.base import errors

Kind = Literal["text", "enum", "number", "boolean", "date", "timestamp", "uuid"]

# Only types whose comparisons mean the same in PostgreSQL and in Python. Left out: `real` and
# `double precision` (rounding), `character` and `citext` (equal though written differently),
# `timestamp` without time zone (no moment).
_KINDS: dict[str, Kind] = {
    "text": "text",
    "character varying": "text",
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp with time zone": "timestamp",
    "uuid": "uuid",
}

# Far more than any column holds, far less than what PostgreSQL refuses to read.
_DIGITS = 100


def kind(type_name: str, enums: AbstractSet[str] = frozenset()) -> Kind | None:
    """The kind of a column by its type as `format_type` writes it; None where it is no such.

    `enums` are the types, so written, that a CREATE TYPE ... AS ENUM made.
    """
    if type_name in enums:
        return "enum"
    return _KINDS.get(re.sub(r"\([^)]*\)", "", type_name))


def written(value: object, as_kind: Kind) -> str:
    """A JSON value (numbers as int or Decimal) in its written form; DataError if it does not fit.

    Text stays as it is; a number is in plain digits; a date, timestamp (in UTC) or uuid is in its
    standard form.
    """
    try:
        return _written(value, as_kind)
    except (ValueError, OverflowError) as error:
        raise errors.DataError(f"{short(value)} is no {as_kind}{_hint(as_kind)}") from error


def _written(value: object, as_kind: Kind) -> str:
    match as_kind, value:
        case (("text" | "enum"), str()) if "\0" not in value:
            return value
        case "number", int() | Decimal() if not isinstance(value, bool):
            return _digits(Decimal(value))
        case "boolean", bool():
            return "true" if value else "false"
        case "date", str():
            return date.fromisoformat(value).isoformat()
        case "timestamp", str() if (moment := datetime.fromisoformat(value)).tzinfo is not None:
            return moment.astimezone(UTC).isoformat()
        case "uuid", str():
            return str(UUID(value))
    raise ValueError


def _digits(number: Decimal) -> str:
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _DIGITS or len(digits) > _DIGITS:
        raise ValueError
    return f"{number:f}"


def _hint(as_kind: Kind) -> str:
    examples = {"date": "2026-01-31", "timestamp": "2026-01-31T08:00:00Z (with its time zone)"}
    return f"; write it as {examples[as_kind]}" if as_kind in examples else ""


__all__ = ["Kind", "kind", "written"]
