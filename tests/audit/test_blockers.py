from __future__ import annotations

import sqlalchemy as sa

from crm_ops.audit import blockers
from crm_ops.audit.blockers import Blocker
from crm_ops.base import database as databases
from crm_ops.base import sql
from tests.audit import logs
from tests.audit.logs import LOG


def test_a_blocker_is_told_by_what_one_needs_to_end_it() -> None:
    report = Blocker(4711, "reporting", "monthly report", "idle in transaction", 312)

    assert blockers.told([report]) == (
        "pid 4711 (application 'monthly report', role reporting, idle in transaction for 312 s)"
        " held it; end or wait for them"
    )


def test_what_cannot_be_seen_is_said_with_the_right_that_shows_it() -> None:
    hidden = Blocker(4711, "reporting", "", None, None)

    assert "in a state that pg_read_all_stats would show" in blockers.told([hidden])
    assert "pg_prepared_xacts" in blockers.told([Blocker(None, None, None, None, None)])
    assert blockers.told([]) == "those who held it are gone by now"


def test_only_those_are_named_whose_lock_conflicts_with_ours(database: sa.Engine) -> None:
    logs.create(database)
    with databases.transaction(database) as reader, databases.transaction(database) as looking:
        sql.run(reader, f"SELECT count(*) FROM {LOG}")

        assert blockers.read(looking, [(LOG, "SHARE ROW EXCLUSIVE")]) == []
        (found,) = blockers.read(looking, [(LOG, "ACCESS EXCLUSIVE")])

    assert (found.application, found.state) == ("crm-ops", "idle in transaction")
    assert found.age_s is not None


def test_who_holds_a_partition_closed_is_named(database: sa.Engine) -> None:
    logs.create(database, ["2024-03"])
    with databases.transaction(database) as closing, databases.transaction(database) as looking:
        sql.run(closing, "LOCK TABLE crm.audit_log_p202403")

        assert len(blockers.read(looking, [(LOG, "SHARE ROW EXCLUSIVE")])) == 1
