from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, prepared, sql
from tests.read import wire

TEXT = "SELECT %(number)s::int + 1, 'x'"


def of_session(connection: sa.Connection) -> list[str]:
    return list(
        sql.run(
            connection, "SELECT statement FROM pg_prepared_statements WHERE NOT from_sql"
        ).scalars()
    )


def test_a_query_is_planned_once_and_answers_for_every_value(database: sa.Engine) -> None:
    with databases.autocommit(database) as connection:
        assert [prepared.row(connection, TEXT, {"number": n}) for n in range(8)] == [
            (n + 1, "x") for n in range(8)
        ]
        assert of_session(connection) == ["SELECT $1::int + 1, 'x'"]


def test_without_a_row_there_is_none(database: sa.Engine) -> None:
    with databases.autocommit(database) as connection:
        assert prepared.row(connection, f"{TEXT} WHERE false", {"number": 1}) is None


def test_where_the_crm_prepares_nothing_we_do_not_either(database: sa.Engine) -> None:
    made = sa.create_engine(
        database.url.set(drivername="postgresql+psycopg"), connect_args={"prepare_threshold": None}
    )
    with databases.autocommit(made) as connection:
        assert prepared.row(connection, TEXT, {"number": 1}) == (2, "x")
        assert of_session(connection) == []
    made.dispose()


def test_another_driver_is_asked_as_usual(database: sa.Engine) -> None:
    made = sa.create_engine(database.url.set(drivername="postgresql+psycopg2"))
    with made.connect() as connection:
        assert prepared.row(connection, TEXT, {"number": 1}) == (2, "x")
        assert prepared.row(connection, f"{TEXT} WHERE false", {"number": 1}) is None
    made.dispose()


def test_it_belongs_to_the_callers_transaction(database: sa.Engine) -> None:
    moment = "SELECT transaction_timestamp()"
    with database.connect() as connection:
        first = prepared.row(connection, moment, {})
        assert connection.in_transaction()
        assert prepared.row(connection, moment, {}) == first
        connection.rollback()
        assert prepared.row(connection, moment, {}) != first


@pytest.mark.parametrize("isolation", ["AUTOCOMMIT", "READ COMMITTED"])
def test_each_question_is_one_trip_whatever_came_before(
    database: sa.Engine, isolation: Any
) -> None:
    text = "SELECT %(name)s::text"
    with wire.to(str(database.url.host), database.url.port or 5432) as counted:
        url = database.url.set(drivername="postgresql+psycopg", host="127.0.0.1", port=counted.port)
        made = sa.create_engine(url, isolation_level=isolation)
        with made.connect() as connection:
            # Its first question in a transaction begins it, and clears what a rollback made void.
            prepared.row(connection, text, {"name": "a"})
            for end in (None, connection.commit, connection.rollback, None):
                begins = end is not None
                if end is not None:
                    end()
                for value in ("a", "b", 7, None, 2**40, "c"):
                    before = counted.trips
                    found = prepared.row(connection, text, {"name": value})
                    assert found == (None if value is None else str(value),)
                    assert counted.trips <= before + 1 + begins
                    begins = False
        made.dispose()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT 1 / %(number)s::int", errors.DataError),
        ("SELECT nothing FROM nowhere WHERE %(number)s::int = 0", errors.DatabaseRefused),
    ],
)
def test_what_goes_wrong_is_one_of_our_errors(database: sa.Engine, text: str, error: Any) -> None:
    with pytest.raises(error), databases.autocommit(database) as connection:
        prepared.row(connection, text, {"number": 0})


def test_a_lost_connection_is_told_and_not_used_again(database: sa.Engine) -> None:
    with databases.autocommit(database) as other, database.connect() as connection:
        pid = sql.run(connection, "SELECT pg_backend_pid()").scalar_one()
        connection.rollback()
        sql.run(other, "SELECT pg_terminate_backend(%(pid)s, 5000)", pid=pid)
        with pytest.raises(errors.DatabaseUnavailable), databases.translated(database):
            prepared.row(connection, TEXT, {"number": 1})
        assert connection.invalidated
        connection.rollback()
        assert prepared.row(connection, TEXT, {"number": 1}) == (2, "x")
