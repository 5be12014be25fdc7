"""The condition of a sharing rule, read from the CRM's JSON and checked to its last value.

`{"and": [p, ...]}`, `{"or": [p, ...]}` and `{"not": p}` join; `{"eq": ["status", "new"]}` compares,
likewise `ne`, `lt`, `le`, `gt`, `ge` and `contains`; `{"in": ["source", ["web", "event"]]}`;
`{"is_null": ["owner_id"]}`.

What matches by mistake would show records to people, so whatever is not fully understood is
refused: also an empty list, which a `not` above it would turn into everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from reprlib import repr as short
from typing import Literal, get_args

import msgspec

from crm_ops.base import errors
from crm_ops.sharing import kinds
from crm_ops.sharing.kinds import Kind

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "contains", "in", "is_null"]
Junction = Literal["and", "or", "not"]


class Condition(msgspec.Struct, frozen=True, array_like=True, tag="condition"):
    """A field compared with values in the written form of its kind: many for `in`, else one.

    `is_null` has none.
    """

    operator: Operator
    field: str
    kind: Kind
    values: tuple[str, ...]


class Group(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """Predicates joined by `and` or `or` (one or more), or a single one negated by `not`."""

    junction: Junction
    parts: tuple[Predicate, ...]


Predicate = Condition | Group

_OPERATORS = frozenset(get_args(Operator) + get_args(Junction))
_EVERY_KIND = frozenset(get_args(Kind))
_ORDERED = frozenset({"text", "number", "date", "timestamp"})
_KINDS = {
    **dict.fromkeys(("eq", "ne", "in", "is_null"), _EVERY_KIND),
    **dict.fromkeys(("lt", "le", "gt", "ge"), _ORDERED),
    "contains": frozenset({"text"}),
}

# Deeper than anyone writes; bounds what evaluating a rule may cost.
_DEPTH = 32

# Numbers stay exact: 0.1 is a tenth.
_JSON = msgspec.json.Decoder(float_hook=Decimal)


def parse(text: str, fields: Mapping[str, Kind | None]) -> Predicate:
    """The predicate written as JSON in `text`, about `fields` (None: of a type rules cannot test).

    Raises DataError with what is wrong.
    """
    try:
        tree = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise errors.DataError("the predicate is not JSON") from error
    return _predicate(tree, fields, depth=1)


def _predicate(tree: object, fields: Mapping[str, Kind | None], depth: int) -> Predicate:
    if depth > _DEPTH:
        raise errors.DataError(f"the predicate is nested deeper than {_DEPTH}")
    if not isinstance(tree, dict) or len(tree) != 1:
        raise errors.DataError(
            f'{short(tree)} is not one operator such as {{"eq": ["status", "new"]}}'
        )
    [(operator, operand)] = tree.items()
    match operator, operand:
        case (("and" | "or"), [_, *_]):
            return Group(operator, tuple(_predicate(part, fields, depth + 1) for part in operand))
        case "not", _:
            return Group("not", (_predicate(operand, fields, depth + 1),))
    return _condition(operator, operand, fields)


def _condition(operator: str, operand: object, fields: Mapping[str, Kind | None]) -> Condition:
    values: Sequence[object]
    match operator, operand:
        case "is_null", [str() as field]:
            values = []
        case "in", [str() as field, [_, *_] as values]:
            pass
        case (("eq" | "ne" | "lt" | "le" | "gt" | "ge" | "contains"), [str() as field, value]):
            values = [value]
        case _ if operator in _OPERATORS:
            raise errors.DataError(f"{operator} cannot take {short(operand)}")
        case _:
            raise errors.DataError(f"unknown operator {short(operator)}")
    kind = _kind(field, operator, fields)
    return Condition(operator, field, kind, tuple(_value(value, kind) for value in values))


def _kind(field: str, operator: str, fields: Mapping[str, Kind | None]) -> Kind:
    if field not in fields:
        raise errors.DataError(f"unknown field {short(field)}")
    kind = fields[field]
    if kind is None:
        raise errors.DataError(f"field {field} has a type that rules cannot test")
    if kind not in _KINDS[operator]:
        raise errors.DataError(f"field {field} is a {kind}: {operator} does not apply")
    return kind


def _value(value: object, kind: Kind) -> str:
    if value is None:
        raise errors.DataError("null is not compared; write is_null")
    return kinds.written(value, kind)


__all__ = ["Condition", "Group", "Junction", "Operator", "Predicate", "parse"]
