from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.sharing import kinds


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("text", "text"),
        ("character varying(20)", "text"),
        ("numeric(18,2)", "number"),
        ("bigint", "number"),
        ("boolean", "boolean"),
        ("date", "date"),
        ("timestamp(3) with time zone", "timestamp"),
        ("uuid", "uuid"),
    ],
)
def test_a_column_is_of_the_kind_of_its_type(type_name: str, expected: str) -> None:
    assert kinds.kind(type_name) == expected


@pytest.mark.parametrize(
    "type_name",
    ["jsonb", "text[]", "double precision", "timestamp without time zone", "character(3)", "crm.s"],
)
def test_a_type_that_compares_differently_in_sql_and_in_python_is_of_no_kind(
    type_name: str,
) -> None:
    assert kinds.kind(type_name) is None


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("Café", "text", "Café"),
        (75, "number", "75"),
        (Decimal("25.50"), "number", "25.50"),
        (Decimal("1E+2"), "number", "100"),
        (True, "boolean", "true"),
        ("20260131", "date", "2026-01-31"),
        ("2026-01-31T09:00:00+01:00", "timestamp", "2026-01-31T08:00:00+00:00"),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_a_value_has_one_written_form(value: object, kind: kinds.Kind, expected: str) -> None:
    assert kinds.written(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "text"),
        ("a\0b", "text"),
        ("5", "number"),
        (True, "number"),
        (Decimal("1E+400"), "number"),
        (10**200, "number"),
        (1, "boolean"),
        ("31.01.2026", "date"),
        ("2026-01-31T08:00:00", "timestamp"),
        ("0001-01-01T00:00:00+05:00", "timestamp"),
        ("me", "uuid"),
        ([1], "number"),
        (None, "text"),
    ],
)
def test_a_value_of_another_kind_is_refused(value: object, kind: kinds.Kind) -> None:
    with pytest.raises(errors.DataError, match=f"is no {kind}"):
        kinds.written(value, kind)


def test_the_refusal_of_a_moment_says_how_to_write_it() -> None:
    with pytest.raises(errors.DataError, match=r"write it as .*with its time zone"):
        kinds.written("2026-01-31 08:00", "timestamp")


values = st.one_of(
    st.tuples(st.just("number"), st.integers(-(10**99), 10**99)),
    st.tuples(st.just("number"), st.decimals(allow_nan=False, allow_infinity=False, places=9)),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("date"), st.dates().map(str)),
    st.tuples(
        st.just("timestamp"),
        st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    ),
    st.tuples(st.just("uuid"), st.uuids().map(str)),
    st.tuples(st.just("text"), st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1))),
)
SQL_TYPES = {
    "text": "text",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
    "uuid": "uuid",
}
READ = {
    "text": str,
    "number": Decimal,
    "boolean": {"true": True, "false": False}.__getitem__,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "uuid": UUID,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(many=st.lists(values, min_size=1, max_size=50))
def test_postgresql_and_python_read_the_written_form_alike(
    database: sa.Engine, many: list[tuple[kinds.Kind, object]]
) -> None:
    written = [(kind, kinds.written(value, kind)) for kind, value in many]
    columns = ", ".join(
        f"%(v{at})s::{SQL_TYPES[kind]} AS v{at}" for at, (kind, _) in enumerate(written)
    )
    with databases.transaction(database) as connection:
        row = sql.run(
            connection,
            f"SELECT {columns}",
            {f"v{at}": text for at, (_, text) in enumerate(written)},
        ).one()
    assert list(row) == [READ[kind](text) for kind, text in written]
