"""An unpartitioned audit table becomes a partitioned one while writers go on."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from crm_ops.audit import adoption
from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.schema import migrate
from tests.audit import logs
from tests.audit.logs import LOG, NOW, month, policy

TEXT = "SELECT string_agg(row::text, '|' ORDER BY id) FROM {} row"


@pytest.fixture
def plain(database: sa.Engine) -> sa.Engine:
    """An unpartitioned log of 12,000 rows over four months, that refuses to be updated."""
    migrate.upgrade(database)
    logs.run(
        database,
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.audit_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " company_id bigint, note text DEFAULT 'no %% note', created_at timestamptz NOT NULL)",
        "CREATE INDEX by_company ON crm.audit_log (company_id) WHERE note <> 'a %% b'",
        "GRANT SELECT ON crm.audit_log TO PUBLIC",
        "INSERT INTO crm.audit_log (company_id, created_at) SELECT nullif(n %% 5, 0),"
        " timestamptz '2023-12-01' + n * interval '14 minutes' FROM generate_series(1, 12000) n",
        "CREATE FUNCTION crm.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''never''; END'",
        "CREATE TRIGGER refuse BEFORE UPDATE ON crm.audit_log FOR EACH ROW"
        " EXECUTE FUNCTION crm.refuse()",
    )
    return database


def planned(engine: sa.Engine) -> adoption.Adoption:
    with databases.transaction(engine) as connection:
        return adoption.plan(connection, LOG, policy(), NOW)


def test_a_table_is_adopted_with_all_that_it_has(plain: sa.Engine) -> None:
    before = logs.value(plain, TEXT.format(LOG))

    done = adoption.adopt(plain, planned(plain), policy())

    assert (done.rows, str(done.before)) == (12_000, "crm.audit_log_before")
    assert logs.value(plain, TEXT.format(LOG)) == before
    held = logs.stretches(plain)
    assert [held[f"audit_log_p{each}"] for each in ("202312", "202406")] == [
        month("2023-12"),
        month("2024-06"),
    ]
    logs.run(plain, "INSERT INTO crm.audit_log (created_at) VALUES ('2024-03-20')")
    assert logs.value(plain, "SELECT max(id) FROM crm.audit_log") == 12_001
    assert logs.value(plain, "SELECT has_table_privilege('public', 'crm.audit_log', 'SELECT')")
    with pytest.raises(errors.CrmOpsError, match="never"):
        logs.run(plain, "UPDATE crm.audit_log SET note = '' WHERE id = 7")
    assert logs.ensure(plain).created == 0, "the nightly job goes on from here"


def test_writers_go_on_and_no_row_of_theirs_is_lost(plain: sa.Engine) -> None:
    logs.run(plain, "DROP TRIGGER refuse ON crm.audit_log")
    stop, written, failed = threading.Event(), [0], list[Exception]()

    def write() -> None:
        while not stop.is_set():
            try:
                logs.run(
                    plain,
                    "INSERT INTO crm.audit_log (created_at) SELECT '2024-03-01' FROM"
                    " generate_series(1, 3)",
                    "DELETE FROM crm.audit_log WHERE id = (SELECT min(id) FROM crm.audit_log)",
                    "UPDATE crm.audit_log SET note = 'seen' WHERE id = (SELECT max(id) - 9 FROM"
                    " crm.audit_log)",
                )
            except errors.CrmOpsError as error:
                failed.append(error)
            else:
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = adoption.adopt(plain, planned(plain), policy())
    finally:
        stop.set()
        writer.join()

    assert not failed
    assert logs.count(plain) == 12_000 + 2 * written[0]
    assert done.rows <= logs.count(plain)


def test_stopped_in_the_middle_it_goes_on_or_is_undone(
    plain: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(adoption, "_prove", stop)
        with pytest.raises(KeyboardInterrupt):
            adoption.adopt(plain, planned(plain), policy())
    assert planned(plain).copied == 12_000
    logs.run(plain, "INSERT INTO crm.audit_log (created_at) VALUES ('2024-03-20')")

    assert adoption.undo(plain, planned(plain))
    assert not logs.exists(plain, "crm.audit_log_adopting")
    assert logs.count(plain) == 12_001
    assert not adoption.undo(plain, planned(plain))
    assert adoption.adopt(plain, planned(plain), policy()).rows == 12_001


def test_a_write_that_the_mirror_missed_stops_the_swap(plain: sa.Engine) -> None:
    made = planned(plain)
    with databases.transaction(plain) as connection:
        adoption._begin(connection, made, policy())
    logs.run(plain, "ALTER TABLE crm.audit_log_adopting ADD CHECK (company_id IS DISTINCT FROM 77)")

    logs.run(plain, "INSERT INTO crm.audit_log (company_id, created_at) VALUES (77, '2024-03-20')")

    with pytest.raises(errors.CrmOpsError, match=r"check constraint|begin again"):
        adoption.adopt(plain, planned(plain), policy())
    assert logs.count(plain) == 12_001


def test_what_cannot_be_carried_over_is_told_before_anything_is_done(plain: sa.Engine) -> None:
    logs.run(plain, "CREATE VIEW crm.seen AS SELECT * FROM crm.audit_log")

    made = planned(plain)

    assert made.hindrances == ("crm.seen depends on it",)
    assert made.months == ()
    with pytest.raises(errors.AuditError, match=r"crm\.seen depends on it"):
        adoption.adopt(plain, planned(plain), policy())
    with databases.transaction(plain) as connection:
        assert sql.run(connection, "SELECT count(*) FROM crm_ops.audit_adoption").scalar_one() == 0
