"""How a record's fields are read for its rules: as SQL whose results compare the same in Python."""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.sharing.kinds import Kind


def cell(column: str, type_name: str, kind: Kind, alias: str = "r") -> str:
    """The SQL that selects a column for `compiled`.

    Moments are seconds, because PostgreSQL has moments (infinity, 4713 BC) that Python has not. The
    type is named, so that a column whose type was changed is refused instead of compared wrongly.
    """
    name = f"{alias}.{sql.identifier(column)}"
    match kind:
        case "date" | "timestamp":
            return f"extract(epoch FROM {name}::{type_name})"
        case "number" | "boolean":
            return f"{name}::{type_name}"
    return f"{name}::text"


def compared(column: str, kind: Kind, alias: str = "r") -> str:
    """The SQL that `condition` compares; texts by their code points, as Python does."""
    name = f"{alias}.{sql.identifier(column)}"
    return f'{name}::text COLLATE "C"' if kind in ("text", "enum") else name


__all__ = ["cell", "compared"]
