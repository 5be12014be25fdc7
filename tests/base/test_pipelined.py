from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, pipelined

SLOW = "SELECT pg_sleep(%(seconds)s)::text AS slept, 7 AS n"


def test_the_caller_works_while_the_server_does(database: sa.Engine) -> None:
    with databases.autocommit(database) as connection:
        began = time.perf_counter()
        row = pipelined.first(connection, SLOW, {"seconds": 0.5}, meanwhile=lambda: time.sleep(0.5))
        assert row.n == 7
        assert time.perf_counter() - began < 0.9


def test_what_goes_wrong_meanwhile_is_raised_and_the_connection_is_used_again(
    database: sa.Engine,
) -> None:
    def wrong() -> None:
        raise LookupError("meanwhile")

    with databases.autocommit(database) as connection:
        with pytest.raises(LookupError, match="meanwhile"):
            pipelined.first(connection, SLOW, {"seconds": 0}, meanwhile=wrong)
        assert pipelined.first(connection, SLOW, {"seconds": 0}).n == 7
        assert pipelined.first(connection, f"{SLOW} WHERE false", {"seconds": 0}) is None


def test_what_postgresql_refuses_is_one_of_our_errors(database: sa.Engine) -> None:
    with pytest.raises(errors.DataError), databases.autocommit(database) as connection:
        pipelined.first(connection, "SELECT 1 / %(n)s::int", {"n": 0})
