from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from crm_ops.audit import apply, creation, months, plan
from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from tests.audit import logs
from tests.audit.logs import LOG, NOW, at, month, policy


def test_the_months_ahead_are_there_after_one_run_and_a_second_changes_nothing(
    database: sa.Engine,
) -> None:
    logs.create(database)

    assert logs.ensure(database) == apply.Created(created=4, moved_rows=0, finalized=0)
    assert logs.stretches(database) == {
        "audit_log_p202403": month("2024-03"),
        "audit_log_p202404": month("2024-04"),
        "audit_log_p202405": month("2024-05"),
        "audit_log_p202406": month("2024-06"),
    }
    assert logs.ensure(database) == apply.Created(created=0, moved_rows=0, finalized=0)


def test_a_row_lands_in_its_month_and_is_found_by_index(database: sa.Engine) -> None:
    logs.create(database)
    logs.ensure(database)

    logs.add(database, "2024-05-31 23:59")

    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202405") == 1
    assert (
        logs.value(
            database,
            "SELECT count(*) FROM pg_indexes WHERE schemaname = 'crm'"
            " AND tablename = 'audit_log_p202405'",
        )
        == 2
    )


@pytest.mark.parametrize("time", ["timestamp", "date"])
def test_months_are_created_for_every_type_of_time_column(database: sa.Engine, time: str) -> None:
    logs.create(database, time=time)
    logs.run(
        database,
        "INSERT INTO crm.audit_log (created_at) VALUES ('2024-03-31'), ('2024-04-01')",
    )

    assert logs.ensure(database).moved_rows == 2

    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202403") == 1
    assert logs.stretches(database)["audit_log_p202404"] == month("2024-04")


def test_thirty_day_partitions_and_holes_are_filled_around(database: sa.Engine) -> None:
    logs.create(
        database,
        {
            "p1": ("'2024-02-10'", "'2024-03-11'"),
            "p2": ("'2024-03-11'", "'2024-04-10'"),
            "audit_log_p202405": ("'2024-05-10'", "'2024-06-09'"),
        },
    )

    logs.ensure(database)

    found = logs.stretches(database)
    assert "audit_log_p202403" not in found, "nothing of March is missing"
    assert found["audit_log_p202404"].lower == at("2024-04-10")
    assert found["audit_log_p202405_2"].upper == at("2024-05-10")
    assert found["audit_log_p202406"].lower == at("2024-06-09")


def test_40_random_layouts_end_without_gap_or_overlap_and_no_row_is_lost(
    database: sa.Engine,
) -> None:
    chance = random.Random(20240315)
    for number in range(40):
        table = Relation("crm", f"log_{number}")
        moment, partitions = NOW - timedelta(days=chance.randrange(60)), {}
        for part in range(chance.randrange(6)):
            moment += timedelta(hours=chance.choice([0, 0, 1, 36, 720]))
            upper = moment + timedelta(hours=chance.choice([1, 24, 720, 744]))
            partitions[f"{table.name}_{part}"] = (f"'{moment}'", f"'{upper}'")
            moment = upper
        logs.create(database, partitions, table=table)
        logs.run(
            database,
            f"INSERT INTO {table.quoted} (created_at) SELECT '{NOW - timedelta(days=60)}'::"
            "timestamptz + n * interval '9 hours' FROM generate_series(1, 600) n",
        )
        declared = policy(table=table)

        logs.ensure(database, declared)

        held = logs.stretches(database, declared).values()
        assert all(not one.stretch.without(held) for one in months.upcoming(NOW, 3))
        assert logs.count(database, table) == 600
        again = logs.planned(database, declared)
        assert (again.creations, again.finalizations) == ((), ())


def test_the_rows_of_a_month_that_has_no_partition_are_moved_into_it(database: sa.Engine) -> None:
    logs.create(database, ["2024-01"])
    logs.add(database, "2024-02-10", 300)
    logs.add(database, "2024-03-10", 500)
    logs.add(database, "2030-01-01", 7)

    assert logs.ensure(database).moved_rows == 800

    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202402") == 300
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202403") == 500
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_default") == 7
    assert logs.count(database) == 807


def test_more_rows_than_may_be_moved_at_once_are_moved_in_parts(database: sa.Engine) -> None:
    logs.create(database)
    for day in range(1, 11):
        logs.add(database, f"2024-03-{day:02}", 40)

    made = plan.make(logs.read(database), policy(), NOW, most_moved=100)
    done = apply.create(database, made)

    assert (done.created, done.moved_rows) == (8, 400)
    assert logs.count(database) == 400
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_default") == 0


def test_a_day_with_too_many_rows_is_refused_and_the_other_months_are_created(
    database: sa.Engine,
) -> None:
    logs.create(database)
    logs.add(database, "2024-04-10", 101)

    made = plan.make(logs.read(database), policy(), NOW, most_moved=100)
    with pytest.raises(errors.AuditError, match="101 rows of 2024-04-01 00:00 to 2024-05-01 00:00"):
        apply.create(database, made)

    assert sorted(logs.stretches(database)) == [
        "audit_log_p202403",
        "audit_log_p202405",
        "audit_log_p202406",
    ]
    assert logs.count(database) == 101


def test_writers_wait_no_longer_than_said_for_a_default_of_many_rows(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATTACH reads all of DEFAULT, whatever month its rows are of, and nobody writes meanwhile."""
    logs.create(database)
    logs.add(database, "1999-01-10", 200_000)
    monkeypatch.setattr(creation, "_LONGEST_STATEMENT_MS", 3)

    with pytest.raises(errors.DatabaseBusy, match=r"reads all of crm.audit_log_default"):
        logs.ensure(database)

    assert logs.count(database) == 200_000
    monkeypatch.undo()
    assert logs.ensure(database).created == 4


def test_a_partition_lies_in_the_tablespace_of_its_parent(database: sa.Engine) -> None:
    with databases.autocommit(database) as connection:
        sql.run(connection, "SET allow_in_place_tablespaces = on")
        sql.run(connection, "CREATE TABLESPACE audit_disk LOCATION ''")
    try:
        logs.create(database)
        logs.run(database, "ALTER TABLE crm.audit_log SET TABLESPACE audit_disk")

        logs.ensure(database)

        where = "SELECT count(*) FROM pg_tables WHERE tablespace = 'audit_disk'"
        assert logs.value(database, f"{where} AND tablename LIKE 'audit_log_p%%'") == 4
    finally:
        logs.run(database, "DROP SCHEMA crm CASCADE")
        with databases.autocommit(database) as connection:
            sql.run(connection, "DROP TABLESPACE audit_disk")


def test_a_concurrent_detach_that_is_under_way_is_not_overtaken(database: sa.Engine) -> None:
    logs.create(database, ["2024-02", "2024-03"], default=False)
    begun = threading.Event()

    def detach() -> None:
        with databases.autocommit(database) as connection:
            begun.set()
            sql.run(
                connection,
                "ALTER TABLE crm.audit_log DETACH PARTITION crm.audit_log_p202402 CONCURRENTLY",
            )

    with databases.transaction(database) as reader:
        sql.run(reader, f"SELECT count(*) FROM {LOG.quoted}")
        other = threading.Thread(target=detach)
        other.start()
        begun.wait(10)
        while not logs.value(database, "SELECT bool_or(inhdetachpending) FROM pg_inherits"):
            time.sleep(0.01)

        assert logs.ensure(database).finalized == 0

    other.join(10)
    assert min(logs.stretches(database)) == "audit_log_p202403"
    assert logs.ensure(database).finalized == 0


def test_a_log_without_default_gets_its_months(database: sa.Engine) -> None:
    logs.create(database, default=False)

    assert logs.ensure(database).created == 4


def test_a_plan_that_another_run_has_done_already_does_nothing(database: sa.Engine) -> None:
    logs.create(database)
    made = logs.planned(database)
    logs.ensure(database)

    assert apply.create(database, made).created == 0


def test_a_plan_that_no_longer_fits_is_refused(database: sa.Engine) -> None:
    logs.create(database)
    made = logs.planned(database)
    logs.run(
        database,
        f"CREATE TABLE crm.day PARTITION OF {LOG} FOR VALUES FROM ('2024-04-05') TO ('2024-04-06')",
    )

    with pytest.raises(errors.AuditError, match="have changed since they were planned"):
        apply.create(database, made)

    assert "audit_log_p202404" not in logs.stretches(database)


def test_rules_of_the_parent_hold_in_a_new_partition(database: sa.Engine) -> None:
    logs.create(database)
    logs.run(
        database,
        "CREATE TABLE crm.company (id bigint PRIMARY KEY)",
        "ALTER TABLE crm.audit_log ADD CONSTRAINT known FOREIGN KEY (company_id)"
        " REFERENCES crm.company",
        "ALTER TABLE crm.audit_log ADD CONSTRAINT said CHECK (action <> '')",
        "ALTER TABLE crm.audit_log ENABLE ROW LEVEL SECURITY",
    )

    logs.ensure(database)

    with pytest.raises(errors.DatabaseRefused, match="known"):
        logs.add(database, "2024-03-05")
    with pytest.raises(errors.DatabaseRefused, match="said"):
        logs.run(
            database, "INSERT INTO crm.audit_log (action, created_at) VALUES ('', '2024-03-05')"
        )
    assert logs.value(
        database, "SELECT relrowsecurity FROM pg_class WHERE relname = 'audit_log_p202403'"
    )


def test_an_interrupted_concurrent_detach_is_finalized_and_its_month_is_there_again(
    database: sa.Engine,
) -> None:
    logs.create(database, ["2024-03"], default=False)
    logs.add(database, "2024-03-05", 3)
    logs.interrupt_detach(database, "crm.audit_log_p202403")
    assert logs.count(database) == 0

    assert logs.ensure(database) == apply.Created(created=4, moved_rows=0, finalized=1)

    logs.add(database, "2024-03-06", 2)
    assert logs.count(database) == 2
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202403") == 3
    assert logs.state(database, "crm.audit_log_p202403") is None, "it is not ours to drop"
