from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from tests.audit import logs
from tests.audit.logs import LOG, policy


def test_an_expired_month_is_detached_and_noted_with_its_bounds_in_one_step(
    database: sa.Engine,
) -> None:
    logs.create(database, ["2023-02", "2023-03", "2024-03"])
    logs.add(database, "2023-02-28 23:59:59", 4)

    done = logs.expire(database, policy(on_expiry="archive", grace_days=1))

    assert done == logs.Retired(detached=1, dropped=0, dropped_rows=0, kept=3)
    assert sorted(logs.stretches(database)) == ["audit_log_p202303", "audit_log_p202403"]
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202302") == 4
    assert logs.state(database, "crm.audit_log_p202302") == ("detached", None)
    assert logs.value(
        database,
        "SELECT lower = '2023-02-01 00:00+00' AND upper = '2023-03-01 00:00+00' AND bytes > 0"
        " FROM crm_ops.audit_partition WHERE parent = 'crm.audit_log'",
    )


def test_what_is_detached_stays_for_its_grace(database: sa.Engine) -> None:
    declared = policy(grace_days=2)
    logs.create(database, ["2023-02", "2024-03"])
    logs.expire(database, declared)

    assert logs.expire(database, declared) == logs.Retired(0, 0, 0, kept=3)
    assert "dropped when 2 days have passed" in logs.planned(database, declared).kept[-1].why


def test_nothing_is_detached_where_the_catalog_says_keep(database: sa.Engine) -> None:
    logs.create(database, ["2022-01", "2024-03"])

    assert logs.expire(database, policy(on_expiry="keep")).detached == 0
    assert len(logs.stretches(database)) == 2


def test_rows_that_come_late_for_a_detached_month_go_to_default(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    logs.expire(database, policy(on_expiry="archive"))

    logs.add(database, "2023-02-05", 2)

    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_default") == 2


def test_a_month_with_partitions_of_its_own_is_detached_whole(database: sa.Engine) -> None:
    logs.create(database, ["2024-03"])
    logs.run(
        database,
        f"CREATE TABLE crm.split PARTITION OF {LOG} FOR VALUES FROM ('2022-03-01')"
        " TO ('2022-04-01') PARTITION BY HASH (id)",
        "CREATE TABLE crm.half PARTITION OF crm.split FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    )
    logs.add(database, "2022-03-05", 5)

    assert logs.expire(database) == logs.Retired(detached=1, dropped=1, dropped_rows=5, kept=2)
    assert not logs.exists(database, "crm.half")


def test_a_plan_that_another_run_has_done_already_does_nothing(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    made = logs.planned(database)
    logs.expire(database)

    assert logs.retire(database, made) == logs.Retired(0, 0, 0, kept=2)


def test_a_partition_that_has_changed_since_the_plan_is_not_touched(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    made = logs.planned(database)
    logs.run(
        database,
        f"ALTER TABLE {LOG} DETACH PARTITION crm.audit_log_p202302",
        f"ALTER TABLE {LOG} ATTACH PARTITION crm.audit_log_p202302"
        " FOR VALUES FROM ('2023-02-01') TO ('2024-03-01')",
    )

    with pytest.raises(errors.AuditError, match="audit_log_p202302 is another now"):
        logs.retire(database, made)

    assert len(logs.stretches(database)) == 2


def test_a_month_whose_rows_others_refer_to_is_named_and_the_others_go(database: sa.Engine) -> None:
    logs.create(database, ["2023-01", "2023-02", "2024-03"])
    logs.add(database, "2023-01-05")
    logs.run(
        database,
        "CREATE TABLE crm.note (log_id bigint, log_at timestamptz, FOREIGN KEY (log_id, log_at)"
        " REFERENCES crm.audit_log (id, created_at))",
        "INSERT INTO crm.note SELECT id, created_at FROM crm.audit_log",
    )

    with pytest.raises(errors.AuditError, match=r"1 partition.*crm\.audit_log_p202301"):
        logs.expire(database)

    assert sorted(logs.stretches(database)) == ["audit_log_p202301", "audit_log_p202403"]
    assert logs.count(database) == 1
