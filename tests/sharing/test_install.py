from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.schema import migrate
from crm_ops.sharing import install
from tests.sharing import office

CATALOG = office.catalog()


@pytest.fixture
def crm(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    return database


def objects(engine: sa.Engine) -> list[str]:
    with databases.transaction(engine) as connection:
        return list(
            sql.run(
                connection,
                "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal UNION ALL"
                " SELECT proname FROM pg_proc WHERE pronamespace = 'crm_ops'::regnamespace"
                " AND prorettype = 'trigger'::regtype"
                " ORDER BY 1",
            ).scalars()
        )


def epochs(engine: sa.Engine) -> dict[str, int]:
    with databases.transaction(engine) as connection:
        rows = sql.run(
            connection,
            "SELECT split_part(scope, ' ', 1) AS scope, sum(epoch)::bigint AS epoch"
            " FROM crm_ops.sharing_epoch GROUP BY 1",
        )
        return {row.scope: row.epoch for row in rows}


def write(engine: sa.Engine, statement: str) -> set[str]:
    """The scopes whose epochs a statement moves."""
    before = epochs(engine)
    with databases.transaction(engine) as connection:
        sql.run(connection, statement)
    after = epochs(engine)
    assert all(after[scope] > before[scope] for scope in before if after[scope] != before[scope])
    return {scope for scope in after if after[scope] != before.get(scope)}


def test_installing_twice_does_nothing_and_removing_leaves_nothing(crm: sa.Engine) -> None:
    assert install.apply(crm, CATALOG)
    there = objects(crm)
    assert len(there) == 5 * 4 * 2
    assert not install.apply(crm, CATALOG)
    assert objects(crm) == there
    install.remove(crm)
    assert objects(crm) == []
    assert epochs(crm) == {}
    install.remove(crm)


def test_what_a_release_before_installed_goes_away(crm: sa.Engine) -> None:
    with databases.transaction(crm) as connection:
        sql.run(
            connection,
            "CREATE FUNCTION crm_ops.sharing_rules() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
        )
    install.apply(crm, CATALOG)
    assert len(objects(crm)) == 5 * 4 * 2


def test_what_is_gone_is_named_and_put_back(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    with databases.transaction(crm) as connection:
        sql.run(connection, "DROP TRIGGER crm_ops_sharing_users_update ON office.user")
        assert install.missing(connection, CATALOG) == ["office.user: crm_ops_sharing_users_update"]
    before = epochs(crm)["*"]
    assert install.apply(crm, CATALOG)
    assert epochs(crm)["*"] != before, "what was remembered meanwhile must not be believed"


def test_a_change_moves_the_epochs_of_those_it_concerns(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    assert write(crm, "INSERT INTO office.role VALUES (1, 7, NULL), (2, 8, NULL)") == {"t:7", "t:8"}
    assert write(crm, "UPDATE office.role SET company_id = 9 WHERE id = 2") == {"t:8", "t:9"}
    assert write(crm, "UPDATE office.role SET parent_id = NULL") == set()
    assert write(crm, "DELETE FROM office.role WHERE id = 1") == {"t:7"}
    assert write(crm, "DELETE FROM office.role WHERE id = 1") == set()
    assert write(crm, "INSERT INTO office.member VALUES (1, 5), (2, 5)") == {"u:5"}
    assert write(crm, "TRUNCATE office.member") == {"*"}
    assert write(crm, "INSERT INTO office.share VALUES ('lead', 1, 1, 'read_only')") == set()


def test_every_update_of_a_rule_moves_an_epoch_and_of_a_user_one_that_matters(
    crm: sa.Engine,
) -> None:
    install.apply(crm, CATALOG)
    write_only(crm, "INSERT INTO office.user (id, company_id) VALUES (1, 7), (2, 7), (3, 8)")
    write_only(
        crm,
        "INSERT INTO office.rule (id, company_id, entity, predicate, grantee_type, level,"
        " is_active) VALUES (1, 7, 'lead', '{}', 'everyone', 'read_only', true)",
    )
    assert write(crm, "UPDATE office.rule SET level = level") == {"t:7"}
    assert write(crm, "UPDATE office.user SET company_id = company_id") == set()
    assert write(crm, "UPDATE office.user SET company_id = 15 - company_id WHERE id > 1") == {
        "t:7",
        "t:8",
    }


def test_a_rule_moves_the_epochs_it_leaves_and_enters_alone_or_with_others(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    one = "INSERT INTO office.rule (id, company_id) VALUES (1, 7)"
    assert write(crm, one) == {"t:7"}
    assert write(crm, "UPDATE office.rule SET company_id = 8") == {"t:7", "t:8"}
    assert write(crm, "UPDATE office.rule SET company_id = NULL") == {"t:8"}
    assert write(crm, "UPDATE office.rule SET company_id = NULL") == set()
    assert write(crm, "UPDATE office.rule SET company_id = 9") == {"t:9"}
    three = "INSERT INTO office.rule (id, company_id) VALUES (2, 9), (3, 7), (4, NULL)"
    assert write(crm, three) == {"t:7", "t:9"}
    assert write(crm, "UPDATE office.rule SET company_id = 8 WHERE id IN (2, 3)") == {
        "t:7",
        "t:8",
        "t:9",
    }
    assert write(crm, "UPDATE office.rule SET level = 'read_only' WHERE id > 9") == set()
    assert write(crm, "DELETE FROM office.rule WHERE id = 1") == {"t:9"}
    assert write(crm, "DELETE FROM office.rule") == {"t:8"}


def test_each_statement_of_a_transaction_moves_the_epoch_anew(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    seen = set()
    with crm.connect() as connection, connection.begin():
        sql.run(connection, "INSERT INTO office.rule (id, company_id) VALUES (1, 7)")
        for _ in range(3):
            sql.run(connection, "UPDATE office.rule SET level = 'read_only'")
            with connection.begin_nested() as savepoint:
                sql.run(connection, "UPDATE office.rule SET level = 'read_write'")
                seen.add(total(connection))
                savepoint.rollback()
            seen.add(total(connection))
    assert len(seen) == 6


def total(connection: sa.Connection) -> int:
    found = sql.run(connection, "SELECT sum(epoch)::bigint FROM crm_ops.sharing_epoch")
    return int(found.scalar_one())


def test_a_session_moves_one_row_however_often_and_in_any_isolation(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    with crm.connect() as connection, crm.connect() as other:
        for isolation in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
            with connection.begin():
                sql.run(connection, f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                # The snapshot is older than what the other session writes.
                before = rows(connection)
                with other.begin():
                    sql.run(other, "UPDATE office.role SET parent_id = coalesce(parent_id, 0) + 1")
                    sql.run(other, "INSERT INTO office.role SELECT count(*), 7 FROM office.role")
                sql.run(connection, "INSERT INTO office.rule (id, company_id) SELECT 9, 7")
                sql.run(connection, "DELETE FROM office.rule WHERE id = 9")
                assert rows(connection) >= before
            connection.rollback()
        with connection.begin():
            assert rows(connection) == 2


def rows(connection: sa.Connection) -> int:
    found = sql.run(connection, "SELECT count(*) FROM crm_ops.sharing_epoch WHERE scope = 't:7'")
    return int(found.scalar_one())


def test_what_is_written_after_epochs_were_given_up_does_not_bring_them_back(
    crm: sa.Engine,
) -> None:
    install.apply(crm, CATALOG)
    with databases.transaction(crm) as connection:
        install.forget(connection)
    assert write(crm, "TRUNCATE office.member") == {"*"}
    with databases.transaction(crm) as connection:
        assert not install.kept(connection, CATALOG)
    assert install.apply(crm, CATALOG)


def test_a_bulk_write_moves_one_epoch_for_all(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    many = "INSERT INTO office.member SELECT 1, n FROM generate_series(1, {}) AS n"
    assert len(write(crm, many.format(1000))) == 1000
    moved = write(crm, many.format(5000))
    assert "*" in moved
    assert len(moved) <= 1002, "the others are not written one by one"


def test_select_and_trigger_on_their_tables_are_enough_and_writers_need_nothing(
    crm: sa.Engine,
) -> None:
    with databases.transaction(crm) as connection:
        # Any two roles that own nothing will do.
        for statement in (
            "GRANT USAGE ON SCHEMA office, crm_ops TO pg_monitor",
            "GRANT SELECT, TRIGGER ON ALL TABLES IN SCHEMA office TO pg_monitor",
            "GRANT CREATE ON SCHEMA crm_ops TO pg_monitor",
            "GRANT ALL ON crm_ops.sharing_epoch TO pg_monitor",
            "GRANT USAGE ON SCHEMA office TO pg_signal_backend",
            "GRANT INSERT ON office.role TO pg_signal_backend",
            "SET LOCAL ROLE pg_monitor",
        ):
            sql.run(connection, statement)
        for statement in install.statements(CATALOG):
            sql.run(connection, statement)
        sql.run(connection, "RESET ROLE")
    with databases.transaction(crm) as connection:
        sql.run(connection, "SET LOCAL ROLE pg_signal_backend")
        sql.run(connection, "INSERT INTO office.role VALUES (1, 7, NULL)")
    assert "t:7" in epochs(crm)
    with databases.transaction(crm) as connection:
        sql.run(connection, "SET LOCAL ROLE pg_monitor")
        for statement in install.removal():
            sql.run(connection, statement)
    assert objects(crm) == []


def test_where_the_epoch_cannot_move_the_change_is_not_made(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    with databases.transaction(crm) as connection:
        sql.run(connection, "ALTER TABLE crm_ops.sharing_epoch RENAME TO gone")
    with pytest.raises(Exception, match="sharing_epoch"):
        write_only(crm, "INSERT INTO office.role VALUES (1, 7, NULL)")
    with databases.transaction(crm) as connection:
        assert sql.run(connection, "SELECT count(*) FROM office.role").scalar_one() == 0


def write_only(engine: sa.Engine, statement: str) -> None:
    with databases.transaction(engine) as connection:
        sql.run(connection, statement)


def test_writers_of_one_tenant_do_not_wait_for_each_other(crm: sa.Engine) -> None:
    install.apply(crm, CATALOG)
    with crm.connect() as first, crm.connect() as second:
        for key, connection in enumerate((first, second)):
            sql.run(connection, "SET LOCAL lock_timeout = 100")
            sql.run(connection, f"INSERT INTO office.role VALUES ({key}, 7, NULL)")
        second.commit()
        first.commit()
    assert "t:7" in epochs(crm)
