"""PostgreSQL waits no longer than it may, and says what is wrong in the words of who must act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql

IMPATIENT = databases.Limits(lock_timeout_ms=50, statement_timeout_ms=150)


@contextmanager
def opened(known: sa.Engine, **changed: str) -> Iterator[sa.Engine]:
    """Another engine on the same database, with short waits."""
    url = known.url.set(**changed).render_as_string(hide_password=False)
    engine = databases.engine(url, limits=IMPATIENT)
    yield engine
    engine.dispose()


def execute(engine: sa.Engine, *statements: str) -> None:
    with databases.transaction(engine) as connection:
        for statement in statements:
            sql.run(connection, statement)


def numbers(engine: sa.Engine) -> list[int]:
    with databases.transaction(engine) as connection:
        return list(sql.run(connection, "SELECT n FROM public.t ORDER BY n").scalars())


@pytest.fixture
def table(database: sa.Engine) -> sa.Engine:
    execute(database, "CREATE TABLE public.t (n integer)")
    return database


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "s3cret",
            "postgresql://ann:x@h:s3cret/crm",
            "postgresql://ann:s3cret@[::1/crm",
            "postgresql://ann:12/s3cret@h:x/crm",
        ],
    )
    def test_what_cannot_be_read_is_refused_without_being_shown(self, url: str) -> None:
        with pytest.raises(errors.SettingsError, match="write postgresql://user") as caught:
            databases.engine(url)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_another_database_is_refused(self) -> None:
        with pytest.raises(errors.SettingsError, match="'mysql'; PostgreSQL is needed"):
            databases.engine("mysql://ann:s3cret@h/crm")

    def test_an_option_that_libpq_does_not_have_is_refused(self) -> None:
        with pytest.raises(errors.SettingsError, match='invalid connection option "colour"'):
            databases.engine("postgresql://h/crm?colour=red")

    @pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
    def test_psycopg_3_drives_whatever_the_url_says(self, scheme: str) -> None:
        assert databases.engine(f"{scheme}://h/crm").dialect.driver == "psycopg"

    def test_an_engine_of_another_driver_is_refused(self) -> None:
        with pytest.raises(errors.SettingsError, match="psycopg 3 is needed"):
            databases.bounded(sa.create_engine("sqlite://"), IMPATIENT)

    def test_an_address_has_no_password(self) -> None:
        engine = databases.engine("postgresql://ann:s3cret@db.example:5433/crm")
        assert databases.address(engine) == "ann@db.example:5433/crm"
        assert "s3cret" not in repr(engine)


def test_a_session_is_in_utc_and_finds_only_what_is_qualified(database: sa.Engine) -> None:
    with databases.transaction(database) as connection:
        shown = {
            name: sql.run(connection, f"SHOW {name}").scalar_one()
            for name in ("TimeZone", "search_path", "lock_timeout", "statement_timeout")
        }
    assert shown == {
        "TimeZone": "UTC",
        "search_path": "pg_catalog",
        "lock_timeout": "2s",
        "statement_timeout": "10min",
    }


class TestRefusals:
    """What PostgreSQL refuses is one of our errors, with its cause and without the password."""

    @pytest.mark.parametrize(
        "changed",
        [{"port": 1}, {"host": "nowhere.invalid"}, {"username": "nobody"}, {"database": "nothing"}],
        ids=lambda changed: next(iter(changed)),
    )
    def test_a_server_that_does_not_let_us_in(
        self, database: sa.Engine, changed: dict[str, str]
    ) -> None:
        with (
            opened(database, password="s3cret", **changed) as engine,
            pytest.raises(errors.DatabaseUnavailable) as caught,
        ):
            execute(engine, "SELECT 1")
        text = str(caught.value)
        assert databases.address(engine) in text
        assert "CRM_OPS_DATABASE_URL" in text
        assert "crm_postgres" in text
        assert "s3cret" not in text
        assert caught.value.__cause__ is not None

    def test_a_session_that_was_ended(self, database: sa.Engine) -> None:
        with pytest.raises(errors.DatabaseUnavailable, match="cannot be reached"):
            execute(database, "SELECT pg_terminate_backend(pg_backend_pid())")

    def test_a_lock_that_somebody_holds(self, table: sa.Engine) -> None:
        with databases.transaction(table) as holder, opened(table) as engine:
            sql.run(holder, "LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(errors.DatabaseBusy, match=r"lock timeout.*tried again"):
                numbers(engine)

    def test_a_statement_that_takes_too_long(self, database: sa.Engine) -> None:
        with (
            opened(database) as engine,
            pytest.raises(errors.DatabaseBusy, match=r"statement timeout.*tried again"),
        ):
            execute(engine, "SELECT pg_sleep(5)")

    def test_a_privilege_that_our_role_lacks(self, table: sa.Engine) -> None:
        def read_as_nobody() -> None:
            with databases.transaction(table, keep=False) as connection:
                sql.run(connection, "CREATE ROLE crm_ops_nobody")
                sql.run(connection, "SET LOCAL ROLE crm_ops_nobody")
                sql.run(connection, "SELECT n FROM public.t")

        with pytest.raises(errors.PermissionMissing) as caught:
            read_as_nobody()
        assert str(caught.value) == (
            f"the database role {table.url.username!r} may not: permission denied for table t;"
            " grant it as in docs/permissions.md"
        )

    def test_a_column_that_is_not_there(self, table: sa.Engine) -> None:
        with pytest.raises(errors.DatabaseRefused, match=r'"m" does not exist.*validate'):
            execute(table, "SELECT m FROM public.t")

    def test_our_own_tables_that_are_not_there(self, database: sa.Engine) -> None:
        with pytest.raises(errors.SettingsError, match="crm-ops migrate"):
            execute(database, "SELECT 1 FROM crm_ops.run")

    def test_a_log_that_was_taken_away(self, database: sa.Engine) -> None:
        with pytest.raises(errors.LogGone, match="capture was changed or removed meanwhile"):
            execute(database, 'SELECT 1 FROM crm_ops."link_order.tag"')

    def test_a_value_that_cannot_be_read(self, database: sa.Engine) -> None:
        with pytest.raises(errors.DataError, match="invalid input syntax"):
            execute(database, "SELECT 'a dozen'::numeric")


class TestTransaction:
    def test_it_is_kept_whole_or_not_at_all(self, table: sa.Engine) -> None:
        execute(table, "INSERT INTO public.t VALUES (1)")
        with pytest.raises(errors.DataError):
            execute(table, "INSERT INTO public.t VALUES (2)", "SELECT 1 / 0")
        assert numbers(table) == [1]

    def test_a_dry_run_keeps_nothing(self, table: sa.Engine) -> None:
        with databases.transaction(table, keep=False) as connection:
            sql.run(connection, "INSERT INTO public.t VALUES (1)")
            assert sql.run(connection, "SELECT count(*) FROM public.t").scalar_one() == 1
        assert numbers(table) == []

    def test_a_repeatable_read_sees_one_moment(self, table: sa.Engine) -> None:
        with databases.transaction(table, isolation="REPEATABLE READ") as connection:
            before = sql.run(connection, "SELECT count(*) FROM public.t").scalar_one()
            execute(table, "INSERT INTO public.t VALUES (1)")
            assert sql.run(connection, "SELECT count(*) FROM public.t").scalar_one() == before

    def test_autocommit_lets_vacuum_through(self, table: sa.Engine) -> None:
        with databases.autocommit(table) as connection:
            sql.run(connection, "INSERT INTO public.t VALUES (1)")
            sql.run(connection, "VACUUM public.t")
        assert numbers(table) == [1]

    def test_a_connection_that_was_in_autocommit_is_in_transactions_again(
        self, table: sa.Engine
    ) -> None:
        with databases.autocommit(table) as connection:
            sql.run(connection, "SELECT 1")
        with databases.transaction(table, keep=False) as connection:
            sql.run(connection, "INSERT INTO public.t VALUES (1)")
        assert numbers(table) == []


class TestBeside:
    def test_it_reads_what_the_snapshot_shows_and_nothing_else(self, table: sa.Engine) -> None:
        execute(table, "INSERT INTO public.t VALUES (1)")
        with databases.snapshot(table, wait_s=1) as connection:
            sql.run(connection, "SELECT 1")
            execute(table, "INSERT INTO public.t VALUES (2)")
            sql.run(connection, "INSERT INTO public.t VALUES (3)")
            with databases.beside(connection) as other:
                assert sql.run(other, "SELECT n FROM public.t").scalars().all() == [1]
        assert numbers(table) == [1, 2, 3]

    def test_it_writes_nothing(self, table: sa.Engine) -> None:
        with (
            pytest.raises(errors.DatabaseRefused, match="read-only"),
            databases.snapshot(table, wait_s=1) as connection,
            databases.beside(connection) as other,
        ):
            sql.run(other, "INSERT INTO public.t VALUES (1)")
        # The next to have its connection may write again.
        with databases.transaction(table), databases.transaction(table) as second:
            sql.run(second, "INSERT INTO public.t VALUES (2)")
        assert numbers(table) == [2]

    def test_where_no_other_is_to_be_had_it_is_the_connection_itself(
        self, alone: sa.Engine
    ) -> None:
        with (
            databases.snapshot(alone, wait_s=1) as connection,
            databases.beside(connection) as other,
        ):
            assert other is connection


@pytest.fixture
def alone(database: sa.Engine) -> Iterator[sa.Engine]:
    """An engine that has one connection and no more."""
    made = sa.create_engine(
        database.url.set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.05,
    )
    yield databases.bounded(made, IMPATIENT)
    made.dispose()


class TestAdvisoryLock:
    def test_two_holders_of_one_name_never_meet(self, database: sa.Engine) -> None:
        with databases.transaction(database) as first:
            databases.lock(first, "fold:lead")
            with databases.transaction(database) as second:
                assert not databases.try_lock(second, "fold:lead")
                assert databases.try_lock(second, "fold:deal")
        with databases.transaction(database) as third:
            assert databases.try_lock(third, "fold:lead")

    def test_the_wait_for_it_is_bounded(self, database: sa.Engine) -> None:
        with databases.transaction(database) as first, opened(database) as engine:
            databases.lock(first, "fold:lead")
            with (
                pytest.raises(errors.DatabaseBusy),
                databases.transaction(engine) as second,
            ):
                databases.lock(second, "fold:lead")
