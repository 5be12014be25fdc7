"""Texts as PostgreSQL's types: what a column's value may be, and how it is bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from uuid import UUID

from crm_ops.base import errors

WHOLE = {"smallint": 15, "integer": 31, "bigint": 63}
"""Whole numbers, with the bits that a value has."""

TEXTS = frozenset({"text", "character varying"})

_SIGNED = re.compile(r"-?[0-9]+")
_DIGITS = re.compile(r"-?[0-9]{1,19}")
# PostgreSQL holds far longer numbers; none of a CRM's is.
_LONGEST_NUMBER = 400


def text(value: str, what: str) -> str:
    """`value` if PostgreSQL can hold it as text; `what` names it in the error."""
    if "\0" in value or (not value.isascii() and _surrogate(value)):
        raise errors.ParameterError(
            f"{what}: holds a character that no text in PostgreSQL does", parameter=what
        )
    return value


def _surrogate(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def whole(value: str, type_name: str) -> int | None:
    """The whole number that `value` is of this type; None where it is none."""
    if not _DIGITS.fullmatch(value):
        return None
    bits = WHOLE[type_name]
    number = int(value)
    return number if -(1 << bits) <= number < 1 << bits else None


def number(value: str) -> Decimal | None:
    """The finite number that `value` is; None where it is none."""
    if len(value) > _LONGEST_NUMBER:
        return None
    try:
        found = Decimal(value)
    except InvalidOperation:
        return None
    tame = found.is_finite() and -_LONGEST_NUMBER < found.adjusted() < _LONGEST_NUMBER
    return found if tame and "_" not in value else None


def uuid(value: str) -> str | None:
    """The canonical text of the UUID that `value` is; None where it is none."""
    try:
        return str(UUID(value))
    except ValueError:
        return None


def of_type(given: Sequence[str], type_name: str, what: str) -> list[str] | None:
    """Those of `given` that a column of this type may hold; None where it may hold any text.

    Raises `ParameterError` for what can be no value of the type.
    """
    if type_name in WHOLE:
        for value in given:
            if not _SIGNED.fullmatch(value):
                raise wrong(what, value, "whole number")
        # What is too large for the type is in no row.
        numbers = (whole(value, type_name) for value in given)
        return [str(each) for each in numbers if each is not None]
    if type_name not in _CHECKS:
        return None
    fits, expected = _CHECKS[type_name]
    for value in given:
        if not fits(value):
            raise wrong(what, value, expected)
    return list(given)


def _is_number(value: str) -> bool:
    return value in ("NaN", "Infinity", "-Infinity") or number(value) is not None


_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "numeric": (_is_number, "number"),
    "boolean": (lambda value: value in ("true", "false"), "boolean; write true or false"),
    "uuid": (lambda value: uuid(value) is not None, "uuid"),
}


def wrong(what: str, value: str, expected: str) -> errors.ParameterError:
    """The error for a value of a wrong type, which is shown only so far."""
    shown = value if len(value) <= 60 else f"{value[:60]}…"
    return errors.ParameterError(f"{what}: {shown!r} is no {expected}", parameter=what)


def listed(names: Iterable[str]) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"


__all__ = ["TEXTS", "WHOLE", "listed", "number", "of_type", "text", "uuid", "whole", "wrong"]
