"""Whatever a name or a text holds, PostgreSQL reads it as it was given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation

ODD = "'\"%\\.;$:{}\n ü€😀"
texts = st.text(
    st.sampled_from(ODD) | st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    max_size=80,
)
names = texts.filter(lambda name: 0 < len(name.encode()) <= 63)
on_one_server = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def connection(database: sa.Engine) -> Iterator[sa.Connection]:
    with databases.transaction(database, keep=False) as connection:
        yield connection


def test_a_name_with_a_quote_and_a_percent_sign() -> None:
    assert sql.identifier('100% "sure"') == '"100%% ""sure"""'
    assert sql.readable(sql.identifier("100%")) == '"100%"'


@on_one_server
@given(name=names)
@example(name='"')
@example(name="%(name)s")
@example(name="é" * 31 + "x")
def test_any_name_survives_quoting(connection: sa.Connection, name: str) -> None:
    row = sql.run(connection, f"SELECT 1 AS {sql.identifier(name)}").mappings().one()
    assert list(row) == [name]


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a\0b", "\ud800"])
def test_a_name_that_postgresql_would_cut_or_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(errors.ParameterError, match="1 to 63 bytes"):
        sql.identifier(name)


@on_one_server
@given(value=texts)
@example(value="\\")
@example(value="\\'; DROP TABLE lead; --")
@example(value="%(name)s %% %s")
def test_any_text_survives_as_a_literal_and_as_a_bound_value(
    connection: sa.Connection, value: str
) -> None:
    found = sql.run(
        connection, f"SELECT {sql.literal(value)}, %(value)s, 'a%%b'", value=value
    ).one()
    assert tuple(found) == (value, value, "a%b")


@on_one_server
@given(value=texts)
def test_a_literal_means_the_same_under_either_setting_of_backslashes(
    connection: sa.Connection, value: str
) -> None:
    sql.run(connection, "SET LOCAL standard_conforming_strings = off")
    sql.run(connection, "SET LOCAL escape_string_warning = off")
    assert sql.run(connection, f"SELECT {sql.literal(value)}").scalar_one() == value


@pytest.mark.parametrize(
    ("value", "text"), [(None, "NULL"), (True, "true"), (False, "false"), (-5, "-5"), (0, "0")]
)
def test_a_value_that_is_no_text(connection: sa.Connection, value: object, text: str) -> None:
    assert sql.literal(value) == text  # type: ignore[arg-type]
    assert sql.run(connection, f"SELECT {text}").scalar_one() == value


@pytest.mark.parametrize("value", ["a\0b", "\udfff"])
def test_a_text_that_postgresql_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(errors.ParameterError, match="cannot be an SQL text"):
        sql.literal(value)


class TestRelation:
    def test_a_table_name_as_it_is_written_in_a_catalog(self) -> None:
        assert Relation.parse("crm.lead") == Relation("crm", "lead")
        assert Relation.parse('crm."odd.name"') == Relation("crm", "odd.name")
        assert Relation.parse('"a ""b"""."%"').quoted == '"a ""b"""."%%"'

    @given(schema=names, name=names)
    def test_what_is_quoted_is_read_back(self, schema: str, name: str) -> None:
        relation = Relation(schema, name)
        assert Relation.parse(sql.readable(relation.quoted)) == relation

    @on_one_server
    @given(name=names)
    def test_a_table_of_any_name_is_found_by_it(self, connection: sa.Connection, name: str) -> None:
        relation = Relation("pg_temp", name)
        sql.run(connection, f"CREATE TEMPORARY TABLE {sql.identifier(name)} AS SELECT 7 AS n")
        assert sql.run(connection, f"SELECT n FROM {relation.quoted}").scalar_one() == 7
        sql.run(connection, f"DROP TABLE {relation.quoted}")

    @pytest.mark.parametrize(
        "text",
        [
            *("", "lead", "crm.", ".lead", "a.b.c", 'crm."lead', 'crm.le"ad', '"".lead', "a..b"),
            *("crm." + "x" * 64, "crm.a\0b", '"crm"lead'),
        ],
    )
    def test_what_is_no_table_name_is_refused_with_the_remedy(self, text: str) -> None:
        with pytest.raises(errors.ParameterError, match=r"write schema\.table"):
            Relation.parse(text)


def test_a_choice_leads_each_value_to_its_result(connection: sa.Connection) -> None:
    arms = {sql.literal("a'%"): sql.literal("first"), sql.literal("b"): sql.literal("second")}
    choice = sql.choose("%(given)s", arms, sql.literal("other"))
    found = [
        sql.run(connection, f"SELECT {choice}", given=x).scalar_one() for x in ("a'%", "b", "")
    ]
    assert found == ["first", "second", "other"]
    assert sql.choose("x", {}, "1") == "1"
