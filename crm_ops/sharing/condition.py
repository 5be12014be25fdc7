"""Turns a rule's predicate into an SQL condition on a record."""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.sharing import fields
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition, Predicate

_OPERATORS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TYPES: dict[Kind, str] = {
    "text": "text",
    "enum": "text",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
    "uuid": "uuid",
}


def text(predicate: Predicate, alias: str) -> str:
    """The records that match, as SQL on the table called `alias`."""
    if isinstance(predicate, Condition):
        return _condition(predicate, alias)
    parts = [text(part, alias) for part in predicate.parts]
    if predicate.junction == "not":
        return f"NOT ({parts[0]})"
    return f"({f' {predicate.junction.upper()} '.join(parts)})"


def _condition(condition: Condition, alias: str) -> str:
    column = fields.compared(condition.field, condition.kind, alias)
    values = [_literal(value, condition.kind) for value in condition.values]
    match condition.operator:
        case "is_null":
            # Without the collation: an SQL NULL of any type.
            return f"{alias}.{sql.identifier(condition.field)} IS NULL"
        case "in":
            return f"{column} IN ({', '.join(values)})"
        case "contains":
            return f"strpos({column}, {values[0]}) > 0"
    return f"{column} {_OPERATORS[condition.operator]} {values[0]}"


def _literal(value: str, kind: Kind) -> str:
    return f"{sql.literal(value)}::{_TYPES[kind]}"


__all__ = ["text"]
