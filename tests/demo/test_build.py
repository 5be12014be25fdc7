"""The demo CRM is made once, the same way every time, and never in place of something else."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from crm_ops.base import errors, sql
from crm_ops.demo import build, sizes
from crm_ops.demo.sizes import Size

AS_OF = date(2026, 1, 20)
TINY = Size(
    name="tiny",
    companies=3,
    users=20,
    accounts=30,
    contacts=60,
    leads=100,
    deals=50,
    audit_rows=400,
)


NEW_ROWS = {
    "company": "(name) VALUES ('New')",
    "role": "(company_id, name) VALUES (1, 'New')",
    "app_user": "(company_id, name) VALUES (1, 'New')",
    "team": "(company_id, name) VALUES (1, 'New')",
    "tag": "(company_id, name) VALUES (1, 'New')",
    "account": "(company_id, name) VALUES (1, 'New')",
    "contact": "(company_id, last_name) VALUES (1, 'New')",
    "lead": "(company_id, name) VALUES (1, 'New')",
    "deal": "(company_id, name) VALUES (1, 'New')",
    "sharing_rule": "(company_id, entity, name, predicate, grantee_type, level)"
    " VALUES (1, 'lead', 'New', '{}', 'everyone', 'read_only')",
    "record_share": "(company_id, entity, record_id, user_id, level)"
    " VALUES (1, 'lead', 1, 1, 'read_only')",
    "audit_log": "(action, entity, created_at) VALUES ('new', 'lead', '2026-01-20 12:00+00')",
}


def run(database: sa.Engine, text: str) -> sa.Row[tuple[object, ...]] | None:
    with database.begin() as connection:
        result = sql.run(connection, text)
        return result.first() if result.returns_rows else None


def counted(database: sa.Engine, tables: list[str]) -> dict[str, int]:
    with database.begin() as connection:
        return {
            table: sql.run(connection, f"SELECT count(*) FROM crm.{table}").scalar_one()
            for table in tables
        }


def fingerprints(database: sa.Engine, tables: list[str]) -> dict[str, str]:
    """What the tables hold, whatever the order."""
    with database.begin() as connection:
        return {
            table: sql.run(
                connection,
                f"SELECT md5(string_agg(t::text, '\n' ORDER BY t::text)) FROM crm.{table} t",
            ).scalar_one()
            for table in tables
        }


def relations(database: sa.Engine) -> object:
    return run(
        database,
        "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class"
        " WHERE relnamespace = to_regnamespace('crm')",
    )


class Killed(Exception):
    pass


class TestCreate:
    def test_the_small_demo_has_tens_of_thousands_of_rows(self, database: sa.Engine) -> None:
        made = build.create(database, size=sizes.SMALL, as_of=AS_OF)

        assert (made.created, made.size, made.as_of) == (True, "small", AS_OF)
        assert 30_000 < sum(made.rows.values()) < 100_000
        assert counted(database, list(made.rows)) == made.rows

    def test_a_complete_demo_is_left_as_it_is(self, database: sa.Engine) -> None:
        made = build.create(database, size=TINY, as_of=AS_OF)
        run(database, "UPDATE crm.lead SET name = 'Somebody was here' WHERE id = 1")

        again = build.create(database, size=TINY, as_of=date(2026, 3, 1))

        assert (again.created, again.as_of, again.rows) == (False, AS_OF, made.rows)
        assert run(database, "SELECT name FROM crm.lead WHERE id = 1") == ("Somebody was here",)

    def test_the_same_size_and_day_give_the_same_rows(self, database: sa.Engine) -> None:
        tables = list(build.create(database, size=sizes.SMALL, as_of=AS_OF).rows)
        first = fingerprints(database, tables)
        build.drop(database)

        build.create(database, size=sizes.SMALL, as_of=AS_OF)

        assert fingerprints(database, tables) == first

    @pytest.mark.parametrize("cut", ["company", "lead", "indexes", "foreign keys", "statistics"])
    def test_one_that_was_cut_short_is_made_anew(self, database: sa.Engine, cut: str) -> None:
        def killed(what: str, _done: int, _total: int) -> None:
            if what == cut:
                raise Killed

        with pytest.raises(Killed):
            build.create(database, size=TINY, as_of=AS_OF, progress=killed)

        made = build.create(database, size=TINY, as_of=AS_OF)

        assert made.created
        assert counted(database, list(made.rows)) == made.rows

    def test_a_schema_of_somebody_else_is_refused_and_kept(self, database: sa.Engine) -> None:
        run(database, "CREATE SCHEMA crm")
        run(database, "CREATE TABLE crm.lead AS SELECT 'precious' AS name")

        with pytest.raises(errors.DataError, match="not the demo's: it holds lead; use another"):
            build.create(database, size=TINY, as_of=AS_OF)

        assert run(database, "SELECT name FROM crm.lead") == ("precious",)

    def test_an_empty_schema_is_filled(self, database: sa.Engine) -> None:
        run(database, "CREATE SCHEMA crm")
        assert build.create(database, size=TINY, as_of=AS_OF).created

    def test_another_size_is_refused(self, database: sa.Engine) -> None:
        made = build.create(database, size=TINY, as_of=AS_OF)

        with pytest.raises(
            errors.DataError, match="holds the tiny demo, small was asked for; drop"
        ):
            build.create(database, size=sizes.SMALL, as_of=AS_OF)

        assert counted(database, list(made.rows)) == made.rows

    def test_a_second_one_at_the_same_time_is_refused(self, database: sa.Engine) -> None:
        def meanwhile(what: str, _done: int, _total: int) -> None:
            if what == "lead":
                with pytest.raises(errors.DatabaseBusy, match="made or dropped by another session"):
                    build.create(database, size=TINY, as_of=AS_OF)

        made = build.create(database, size=TINY, as_of=AS_OF, progress=meanwhile)

        assert made.created

    def test_progress_ends_at_the_total_of_every_step(self, database: sa.Engine) -> None:
        seen: dict[str, tuple[int, int]] = {}

        def follow(what: str, done: int, total: int) -> None:
            assert done > seen.get(what, (0, 0))[0]
            seen[what] = (done, total)

        made = build.create(database, size=TINY, as_of=AS_OF, progress=follow)

        assert list(seen) == [*made.rows, "indexes", "foreign keys", "statistics"]
        assert all(done == total for done, total in seen.values())

    def test_a_row_without_an_id_takes_the_next_one(self, database: sa.Engine) -> None:
        build.create(database, size=TINY, as_of=AS_OF)
        for table, new in NEW_ROWS.items():
            last = run(database, f"SELECT max(id) FROM crm.{table}")
            assert run(database, f"INSERT INTO crm.{table} {new} RETURNING id - 1") == last, table

    def test_the_planner_knows_the_tables(self, database: sa.Engine) -> None:
        made = build.create(database, size=TINY, as_of=AS_OF)
        known = run(database, "SELECT reltuples FROM pg_class WHERE oid = 'crm.lead'::regclass")
        assert known == (made.rows["lead"],)


class TestDrop:
    def test_what_was_made_is_gone(self, database: sa.Engine) -> None:
        build.create(database, size=TINY, as_of=AS_OF)
        assert build.drop(database)
        assert run(database, "SELECT to_regnamespace('crm')") == (None,)
        assert not build.drop(database)

    def test_a_month_detached_from_the_audit_log_goes_too(self, database: sa.Engine) -> None:
        build.create(database, size=TINY, as_of=AS_OF)
        run(database, "ALTER TABLE crm.audit_log DETACH PARTITION crm.audit_log_p202409")
        assert build.drop(database)

    def test_a_demo_that_was_emptied_by_hand_goes_too(self, database: sa.Engine) -> None:
        build.create(database, size=TINY, as_of=AS_OF)
        tables = run(
            database,
            "SELECT string_agg('crm.' || tablename, ',') FROM pg_tables WHERE schemaname = 'crm'",
        )
        run(database, f"DROP TABLE {tables[0]} CASCADE")
        assert build.drop(database)

    def test_a_schema_of_somebody_else_is_refused_and_kept(self, database: sa.Engine) -> None:
        run(database, "CREATE SCHEMA crm")
        run(database, "CREATE TABLE crm.lead AS SELECT 'precious' AS name")

        with pytest.raises(errors.DataError, match="not the demo's"):
            build.drop(database)

        assert run(database, "SELECT name FROM crm.lead") == ("precious",)

    @pytest.mark.parametrize(
        ("precious", "named"),
        [
            ("CREATE VIEW public.hot AS SELECT name FROM crm.lead", "view public.hot depends on"),
            ("CREATE TABLE crm.notes (text text)", "table crm.notes depends on schema crm"),
        ],
        ids=["depends on a table", "lives in the schema"],
    )
    def test_what_somebody_added_stops_the_drop(
        self, database: sa.Engine, precious: str, named: str
    ) -> None:
        build.create(database, size=TINY, as_of=AS_OF)
        run(database, precious)
        before = relations(database)

        with pytest.raises(errors.DataError, match=f"{named}.*; drop that first"):
            build.drop(database)

        assert relations(database) == before
