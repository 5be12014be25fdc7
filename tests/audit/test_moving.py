from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from tests.audit import logs

REFUSE = """
CREATE FUNCTION crm.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'an audit row is never deleted'; END $$
"""


def test_a_moved_row_is_the_same_row(database: sa.Engine) -> None:
    logs.create(database)
    logs.run(
        database,
        "INSERT INTO crm.audit_log (id, company_id, action, changes, ip, created_at)"
        " VALUES (7, NULL, 'a%b', '{\"x\": 1}', '::1', '2024-03-05 10:00:00.123456+00')",
    )
    before = logs.value(database, "SELECT array_agg(audit_log) FROM crm.audit_log")

    assert logs.ensure(database).moved_rows == 1

    assert logs.value(database, "SELECT array_agg(audit_log) FROM crm.audit_log") == before
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_default") == 0


def test_the_columns_of_default_may_stand_in_another_order(database: sa.Engine) -> None:
    logs.create(database, default=False)
    logs.run(
        database,
        "ALTER TABLE crm.audit_log ADD COLUMN gone text, ADD COLUMN day text"
        " GENERATED ALWAYS AS (action || '!') STORED",
        "ALTER TABLE crm.audit_log DROP COLUMN gone",
        "CREATE TABLE crm.other (day text GENERATED ALWAYS AS (action || '!') STORED, ip inet,"
        " changes jsonb, created_at timestamptz NOT NULL, company_id bigint, user_id bigint,"
        " action text NOT NULL DEFAULT '', id bigint NOT NULL)",
        "ALTER TABLE crm.audit_log ATTACH PARTITION crm.other DEFAULT",
    )
    logs.add(database, "2024-03-05", 3)

    assert logs.ensure(database).moved_rows == 3

    assert logs.value(database, "SELECT count(*) FROM crm.audit_log WHERE day = 'update!'") == 3


def test_a_trigger_that_refuses_deletes_does_not_stop_a_move_and_stays_on(
    database: sa.Engine,
) -> None:
    logs.create(database)
    logs.add(database, "2024-03-05", 3)
    logs.run(
        database,
        REFUSE,
        "CREATE TRIGGER never BEFORE DELETE ON crm.audit_log FOR EACH ROW"
        " EXECUTE FUNCTION crm.refuse()",
        "CREATE TRIGGER always BEFORE DELETE ON crm.audit_log_default"
        " EXECUTE FUNCTION crm.refuse()",
        "ALTER TABLE crm.audit_log_default ENABLE ALWAYS TRIGGER always",
    )

    assert logs.ensure(database).moved_rows == 3

    switched = "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger"
    of_default = "tgrelid = 'crm.audit_log_default'::regclass AND NOT tgisinternal"
    assert logs.value(database, f"{switched} WHERE {of_default}") == "alwaysA neverO"
    with pytest.raises(errors.DatabaseRefused, match="never deleted"):
        logs.run(database, "DELETE FROM crm.audit_log WHERE id = 1")


def test_rows_that_foreign_keys_may_point_to_are_left_where_they_are(database: sa.Engine) -> None:
    logs.create(database)
    logs.add(database, "2024-03-05", 3)
    logs.run(
        database,
        "CREATE TABLE crm.note (log_id bigint, log_at timestamptz, FOREIGN KEY (log_id, log_at)"
        " REFERENCES crm.audit_log (id, created_at) ON DELETE CASCADE)",
        "INSERT INTO crm.note SELECT id, created_at FROM crm.audit_log",
    )

    with pytest.raises(errors.AuditError, match=r"audit_log_p202403: rows wait in .*crm\.note"):
        logs.ensure(database)

    assert logs.value(database, "SELECT count(*) FROM crm.note") == 3
    assert len(logs.stretches(database)) == 3, "the other months were created"
