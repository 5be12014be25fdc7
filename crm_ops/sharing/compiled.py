"""Turns a rule's predicate into a function of a record, which answers as PostgreSQL would.

True, False, or None for unknown: a comparison with a value that is not there. The SQL of the same
predicate is in `condition`; both read the cells that `fields` selects.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition, Group, Predicate

Test = Callable[[Sequence[Any]], bool | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
# To PostgreSQL not-a-number is greater than every number that a rule can name.
_OF_NAN = {"eq": False, "ne": True, "lt": False, "le": False, "gt": True, "ge": True}


def test(predicate: Predicate, places: Mapping[str, int]) -> Test:
    """The function that tests a row of cells; `places` says where each field is in it."""
    if isinstance(predicate, Condition):
        return _condition(predicate, places[predicate.field])
    return _group(predicate, [test(part, places) for part in predicate.parts])


def _condition(condition: Condition, at: int) -> Test:
    values = [_cell(text, condition.kind) for text in condition.values]
    match condition.operator:
        case "is_null":
            return lambda row: row[at] is None
        case "in":
            wanted = frozenset(values)
            return lambda row: None if (cell := row[at]) is None else cell in wanted
        case "contains":
            part = values[0]
            return lambda row: None if (cell := row[at]) is None else part in cell
    compare, value = _COMPARISONS[condition.operator], values[0]
    if condition.kind != "number":
        return lambda row: None if (cell := row[at]) is None else compare(cell, value)
    of_nan = _OF_NAN[condition.operator]

    def number(row: Sequence[Any]) -> bool | None:
        cell = row[at]
        if cell is None:
            return None
        return of_nan if cell != cell else compare(cell, value)  # noqa: PLR0124

    return number


def _group(group: Group, tests: Sequence[Test]) -> Test:
    match group.junction:
        case "not":
            [negated] = tests
            return lambda row: None if (found := negated(row)) is None else not found
        case "and":
            return lambda row: _joined(tests, row, decisive=False)
        case "or":
            return lambda row: _joined(tests, row, decisive=True)


def _joined(tests: Sequence[Test], row: Sequence[Any], *, decisive: bool) -> bool | None:
    result: bool | None = not decisive
    for each in tests:
        found = each(row)
        if found is decisive:
            return decisive
        if found is None:
            result = None
    return result


def _cell(text: str, kind: Kind) -> object:
    """A value of a rule as `fields` reads one of this kind."""
    match kind:
        case "number":
            number = Decimal(text)
            return int(number) if number == number.to_integral_value() else number
        case "boolean":
            return text == "true"
        case "date":
            return _seconds(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC))
        case "timestamp":
            return _seconds(datetime.fromisoformat(text))
    return text


def _seconds(moment: datetime) -> Decimal:
    return Decimal((moment - _EPOCH) // timedelta(microseconds=1)) / 1_000_000


__all__ = ["Test", "test"]
