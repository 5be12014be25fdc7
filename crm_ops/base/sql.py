"""The one place where SQL is quoted and run: names and literals are quoted here, values bound.

SQL texts are in psycopg's style: a value is `%(name)s`, a literal percent sign `%%`. What this
module quotes is already doubled, so quoted parts may be joined into any text given to `run`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult

from crm_ops.base import errors

# The names that statements are written of are the same ones again and again.
_NAMES = 4_096

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True, order=True)
class Relation:
    """A schema-qualified table name, unquoted."""

    schema: str
    name: str

    @classmethod
    @lru_cache(_NAMES)
    def parse(cls, text: str) -> Relation:
        """Read `schema.table`; a part that holds a dot or a quote is written in double quotes."""
        parts, at = [], 0
        while at <= len(text):
            match = _PART.match(text, at)
            if match is None:
                break
            parts.append(match[1].replace('""', '"') if match[1] is not None else match[2])
            at = match.end() + 1
            if match.end() == len(text) or text[match.end()] != ".":
                break
        if len(parts) != 2 or at != len(text) + 1 or any(not usable(part) for part in parts):
            raise errors.ParameterError(
                f"{text!r} is not a table name; write schema.table, in double quotes where a part"
                ' holds a dot or a quote: crm."odd.name"'
            )
        return cls(parts[0], parts[1])

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """The name as SQL."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"


def usable(name: str) -> bool:
    """Whether PostgreSQL can hold `name` as an identifier: 1 to 63 bytes of UTF-8, no NUL."""
    return _holdable(name) and 0 < len(name.encode()) < 64


@lru_cache(_NAMES)
def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier; refuses what PostgreSQL would cut or cannot hold."""
    if not usable(name):
        raise errors.ParameterError(
            f"{name!r} cannot be an SQL name: it must have 1 to 63 bytes of UTF-8"
        )
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def literal(value: str | int | bool | None) -> str:
    """`value` as an SQL literal, for texts that cannot bind (DDL, trigger bodies)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not _holdable(value):
        raise errors.ParameterError(
            f"{value!r} cannot be an SQL text: it holds a NUL, or what UTF-8 has no bytes for"
        )
    escaped = value.replace("'", "''").replace("%", "%%")
    return " E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in value else f"'{escaped}'"


def choose(subject: str, arms: Mapping[str, str], otherwise: str) -> str:
    """A CASE over `subject`: each key of `arms` is a quoted value, each value what it leads to."""
    if not arms:
        return otherwise
    cases = " ".join(f"WHEN {value} THEN {result}" for value, result in arms.items())
    return f"CASE {subject} {cases} ELSE {otherwise} END"


def readable(text: str) -> str:
    """An SQL text as a person or psql reads it: percent signs single again."""
    return text.replace("%%", "%")


def run(
    connection: Connection, text: str, values: Mapping[str, Any] | None = None, /, **more: Any
) -> CursorResult[Any]:
    """Run one statement with bound values."""
    return connection.exec_driver_sql(text, {**(values or {}), **more})


def stream(connection: Connection, text: str, **values: Any) -> CursorResult[Any]:
    """Run one SELECT whose rows are too large to be held together; they come a few at a time."""
    few = {"stream_results": True, "max_row_buffer": 16}
    return connection.exec_driver_sql(text, values, execution_options=few)


def _holdable(text: str) -> bool:
    """Whether a text in PostgreSQL can hold it: no NUL, and no half of a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


__all__ = ["Relation", "choose", "identifier", "literal", "readable", "run", "stream", "usable"]
