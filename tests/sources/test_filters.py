"""A row filter as SQL keeps the rows that it says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.catalog.parts import Where
from crm_ops.sources import filters

FILTER: TypeAdapter[Where] = TypeAdapter(Where)


@pytest.mark.parametrize(
    ("where", "condition"),
    [
        ({}, "true"),
        ({"deleted_at": None}, '"deleted_at" IS NULL'),
        ({"is_active": True}, '"is_active" IN (true)'),
        ({"status": "it's"}, "\"status\" IN ('it''s')"),
        ({"rate": 0.5}, "\"rate\" IN ('0.5'::numeric)"),
        ({"kind": ["a", None]}, '("kind" IN (\'a\') OR "kind" IS NULL)'),
        ({"kind": {"not": "a"}}, '("kind" NOT IN (\'a\') OR "kind" IS NULL)'),
        ({"kind": {"not": ["a", None]}}, '("kind" NOT IN (\'a\') AND "kind" IS NOT NULL)'),
        ({"kind": {"not": None}}, '"kind" IS NOT NULL'),
        ({"a": 1, 'b"%': 2}, '"a" IN (1) AND "b""%%" IN (2)'),
    ],
)
def test_a_filter_is_written_as_sql(where: dict[str, Any], condition: str) -> None:
    assert filters.condition(FILTER.validate_python(where)) == condition


def test_a_filter_may_be_of_a_named_row() -> None:
    assert filters.condition({"a": 1, "b": None}, "r.") == 'r."a" IN (1) AND r."b" IS NULL'


def values(*of: Any) -> st.SearchStrategy[Any]:
    """A filter of a column that holds values such as these."""
    some = st.sampled_from([*of, None])
    listed = st.lists(some, min_size=1, max_size=3)
    return some | listed | (some | listed).map(lambda inner: {"not": inner})


NUMBERS = (0, 1, -3, 25, 25.5, 1e20)
TEXTS = ("", "new", "it's", "50%", "back\\slash", "%(a)s", "größe", "null")
FILTERS = st.fixed_dictionaries(
    {}, optional={"n": values(*NUMBERS), "t": values(*TEXTS), "b": values(True, False)}
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.sampled_from([None, *(Decimal(repr(number)) for number in NUMBERS)]),
            "t": st.sampled_from([None, *TEXTS]),
            "b": st.sampled_from([None, True, False]),
        }
    ),
    max_size=12,
)


def kept(row: dict[str, Any], where: dict[str, Any]) -> bool:
    """What the catalog's reference says, in Python."""
    for column, wanted in where.items():
        turned = isinstance(wanted, dict)
        inner = wanted["not"] if turned else wanted
        listed = inner if isinstance(inner, list) else [inner]
        exact = [Decimal(repr(v)) if isinstance(v, float) else v for v in listed]
        if (row[column] in exact) == turned:
            return False
    return True


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, where=FILTERS)
@example(rows=[{"n": None, "t": None, "b": None}], where={"t": {"not": ["new"]}})
def test_postgresql_keeps_the_rows_that_the_filter_says(
    database: sa.Engine, rows: list[dict[str, Any]], where: dict[str, Any]
) -> None:
    condition = filters.condition(FILTER.validate_python(where), "r.")
    with databases.transaction(database, keep=False) as connection:
        sql.run(connection, "CREATE TEMP TABLE r (i int, n numeric, t text, b boolean)")
        for number, row in enumerate(rows):
            sql.run(
                connection,
                "INSERT INTO r VALUES (%(i)s, %(n)s, %(t)s, %(b)s)",
                {"i": number, **row},
            )
        found = sql.run(connection, f"SELECT i FROM r WHERE {condition} ORDER BY i").scalars().all()
    assert found == [number for number, row in enumerate(rows) if kept(row, where)]
