"""Writes a row filter of the catalog as SQL."""

from __future__ import annotations

from collections.abc import Sequence

from crm_ops.base import sql
from crm_ops.catalog.parts import Not, Scalar, Where


def condition(where: Where, prefix: str = "") -> str:
    """The rows that `where` keeps, as SQL; `prefix` is a table's alias with its dot, such as `r.`.

    `{not: x}` keeps the rows without a value, too. An empty filter is `true`.
    """
    tests = [_test(prefix + sql.identifier(column), wanted) for column, wanted in where.items()]
    return " AND ".join(tests) or "true"


def _test(column: str, wanted: Scalar | list[Scalar | None] | Not | None) -> str:
    if isinstance(wanted, Not):
        return _other_than(column, _values(wanted.not_))
    return _one_of(column, _values(wanted))


def _values(wanted: Scalar | list[Scalar | None] | None) -> Sequence[Scalar | None]:
    return wanted if isinstance(wanted, list) else [wanted]


def _one_of(column: str, values: Sequence[Scalar | None]) -> str:
    tests = []
    if any(value is not None for value in values):
        tests.append(f"{column} IN ({_listed(values)})")
    if None in values:
        tests.append(f"{column} IS NULL")
    return tests[0] if len(tests) == 1 else f"({' OR '.join(tests)})"


def _other_than(column: str, values: Sequence[Scalar | None]) -> str:
    tests = []
    if any(value is not None for value in values):
        tests.append(f"{column} NOT IN ({_listed(values)})")
    # Of a row without a value NOT IN knows nothing.
    tests.append(f"{column} IS NOT NULL" if None in values else f"{column} IS NULL")
    if len(tests) == 1:
        return tests[0]
    return f"({(' AND ' if None in values else ' OR ').join(tests)})"


def _listed(values: Sequence[Scalar | None]) -> str:
    return ", ".join(_literal(value) for value in values if value is not None)


def _literal(value: Scalar) -> str:
    if isinstance(value, float):
        # As text it arrives exactly as it is written in the catalog.
        return f"{sql.literal(repr(value))}::numeric"
    return sql.literal(value)


__all__ = ["condition"]
