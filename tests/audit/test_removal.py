from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from tests.audit import logs
from tests.audit.logs import LOG, policy


def test_an_expired_month_is_dropped_and_its_rows_are_noted(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    logs.add(database, "2023-02-05", 11)

    done = logs.expire(database)

    assert done == logs.Retired(detached=1, dropped=1, dropped_rows=11, kept=2)
    assert not logs.exists(database, "crm.audit_log_p202302")
    assert logs.state(database, "crm.audit_log_p202302") == ("dropped", 11)
    assert logs.expire(database) == logs.Retired(0, 0, 0, kept=2)


def test_what_was_detached_by_an_earlier_run_is_dropped(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    logs.expire(database, policy(on_expiry="archive"))

    assert logs.expire(database) == logs.Retired(0, dropped=1, dropped_rows=0, kept=2)


def test_a_table_that_was_put_back_or_taken_over_meanwhile_is_not_dropped(
    database: sa.Engine,
) -> None:
    logs.create(database, ["2023-01", "2023-02", "2024-03"])
    logs.expire(database, policy(on_expiry="archive"))
    made = logs.planned(database)
    assert len(made.drops) == 2
    logs.run(
        database,
        f"ALTER TABLE {LOG} ATTACH PARTITION crm.audit_log_p202301"
        " FOR VALUES FROM ('2023-01-01') TO ('2023-02-01')",
        "DROP TABLE crm.audit_log_p202302",
        "CREATE TABLE crm.audit_log_p202302 (somebody_elses int)",
    )

    assert logs.retire(database, made).dropped == 0

    assert logs.exists(database, "crm.audit_log_p202301")
    assert logs.exists(database, "crm.audit_log_p202302")


def test_a_table_that_a_view_needs_is_named_and_the_others_go(database: sa.Engine) -> None:
    logs.create(database, ["2023-01", "2023-02", "2024-03"])
    logs.run(database, "CREATE VIEW crm.old AS SELECT * FROM crm.audit_log_p202301")

    with pytest.raises(errors.AuditError, match=r"crm\.audit_log_p202301: .*other objects depend"):
        logs.expire(database)

    assert logs.state(database, "crm.audit_log_p202301") == ("detached", None)
    assert logs.state(database, "crm.audit_log_p202302") == ("dropped", 0)


def test_the_name_of_a_dropped_month_is_not_given_again(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    logs.expire(database)
    longer = policy(retention_months=24)
    logs.add(database, "2023-02-05", 2)

    logs.ensure(database, longer)

    assert "audit_log_p202302_2" in logs.stretches(database)
