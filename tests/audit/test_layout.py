from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from crm_ops.audit.stretch import BEGINNING, END, Stretch
from crm_ops.base import errors
from crm_ops.base.sql import Relation
from tests.audit import logs
from tests.audit.logs import LOG, at, month, policy


def test_the_layout_tells_partitions_by_their_bounds(database: sa.Engine) -> None:
    logs.create(database, {"anything": ("'2024-03-01 00:00+00'", "'2024-04-01 00:00+00'")})
    logs.add(database, "2024-03-02", rows=1000)
    logs.run(database, "ANALYZE crm.anything")

    found = logs.read(database)

    assert found.parent.column == "created_at"
    (partition,) = found.partitions
    assert partition.table == Relation("crm", "anything")
    assert partition.stretch == month("2024-03")
    assert partition.rows == 1000
    assert partition.bytes > 50_000


@pytest.mark.parametrize("time", ["timestamptz", "timestamp", "timestamp(0)", "date"])
def test_bounds_are_in_utc_whatever_the_type_of_the_time_column(
    database: sa.Engine, time: str
) -> None:
    logs.create(database, ["2024-03"], time=time)

    assert logs.stretches(database) == {"audit_log_p202403": month("2024-03")}


def test_bounds_made_in_another_time_zone_are_read_as_the_moments_they_are(
    database: sa.Engine,
) -> None:
    logs.create(database, {"berlin": ("'2024-03-01 00:00+01'", "'2024-04-01 00:00+02'")})

    assert logs.stretches(database) == {
        "berlin": Stretch(at("2024-02-29 23:00"), at("2024-03-31 22:00"))
    }


def test_partitions_without_an_end_are_those_of_all_time(database: sa.Engine) -> None:
    logs.create(
        database,
        {
            "first": ("MINVALUE", "'-infinity'"),
            "old": ("'-infinity'", "'0044-03-15 BC'"),
            "new": ("'2024-03-01'", "'infinity'"),
            "last": ("'infinity'", "MAXVALUE"),
        },
    )

    assert logs.stretches(database) == {
        "first": Stretch(BEGINNING, BEGINNING),
        "old": Stretch(BEGINNING, BEGINNING),
        "new": Stretch(at("2024-03-01"), END),
        "last": Stretch(END, END),
    }


def test_what_waits_in_default_is_counted_by_utc_day(database: sa.Engine) -> None:
    logs.create(database, ["2024-03"])
    logs.add(database, "2024-03-05", 9)
    logs.add(database, "2024-04-01 23:59", 2)
    logs.add(database, "2023-12-31", 1)
    logs.run(database, "INSERT INTO crm.audit_log (created_at) VALUES ('infinity')")

    default = logs.read(database).default

    assert default is not None
    assert default.rows == 4
    assert default.days == ((date(2023, 12, 31), 1), (date(2024, 4, 1), 2))


def test_a_log_may_have_no_default(database: sa.Engine) -> None:
    logs.create(database, ["2024-03"], default=False)

    assert logs.read(database).default is None


def test_the_size_of_a_partition_is_that_of_its_own_partitions(database: sa.Engine) -> None:
    logs.create(database)
    logs.run(
        database,
        "CREATE TABLE crm.split PARTITION OF crm.audit_log FOR VALUES FROM ('2024-03-01 00:00+00')"
        " TO ('2024-04-01 00:00+00') PARTITION BY HASH (id)",
        "CREATE TABLE crm.half_0 PARTITION OF crm.split FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE crm.half_1 PARTITION OF crm.split FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    )
    logs.add(database, "2024-03-05", 1000)
    logs.run(database, "ANALYZE crm.audit_log")

    (split,) = logs.read(database).partitions

    assert (split.stretch, split.rows) == (month("2024-03"), 1000)
    assert split.bytes > 50_000


def test_odd_names_are_names(database: sa.Engine) -> None:
    odd = Relation("crm", 'Audit "log" 100% ü.x')
    logs.create(database, table=odd)

    declared = policy(table=odd.quoted.replace("%%", "%"))
    logs.ensure(database, declared)

    names = {each.table.name for each in logs.read(database, declared).partitions}
    assert 'Audit "log" 100% ü.x_p202403' in names


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("crm.nothing", "does not exist; correct audit.table in the catalog"),
        ("crm.plain", "is not partitioned by range"),
        ("crm.by_hash", "is not partitioned by range"),
        ("crm.by_two", "is not partitioned by the column created_at alone"),
        ("crm.by_other", "is not partitioned by the column created_at alone"),
        ("crm.by_number", "is of the type bigint"),
    ],
)
def test_a_table_that_cannot_be_maintained_is_refused_with_the_reason(
    database: sa.Engine, table: str, message: str
) -> None:
    logs.create(database)
    logs.run(
        database,
        "CREATE TABLE crm.plain (created_at timestamptz)",
        "CREATE TABLE crm.by_hash (created_at timestamptz) PARTITION BY HASH (created_at)",
        "CREATE TABLE crm.by_two (id int, created_at date) PARTITION BY RANGE (created_at, id)",
        "CREATE TABLE crm.by_other (at date, created_at date) PARTITION BY RANGE (at)",
        "CREATE TABLE crm.by_number (created_at bigint) PARTITION BY RANGE (created_at)",
    )

    with pytest.raises(errors.AuditError, match=message):
        logs.read(database, policy(table=Relation.parse(table)))


def test_rows_that_a_policy_hides_from_us_are_an_error_not_a_zero(database: sa.Engine) -> None:
    logs.create(database)
    logs.add(database, "2024-03-05", 5)
    logs.run(database, "ALTER TABLE crm.audit_log_default ENABLE ROW LEVEL SECURITY")

    grants = (
        "GRANT USAGE ON SCHEMA crm, crm_ops TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA crm, crm_ops TO {role}",
    )
    with (
        logs.as_role(database, *grants) as reader,
        pytest.raises(errors.PermissionMissing, match="row-level security"),
    ):
        logs.read(reader)


def test_what_we_detached_is_ours_while_it_is_there_alone_and_marked(database: sa.Engine) -> None:
    logs.create(database, ["2022-01", "2022-02", "2022-03", "2022-04", "2024-03"])
    logs.expire(database, policy(on_expiry="archive"))
    assert [each.table.name[-6:] for each in logs.read(database).detached] == [
        "202201",
        "202202",
        "202203",
        "202204",
    ]

    logs.run(
        database,
        "DROP TABLE crm.audit_log_p202201",
        "COMMENT ON TABLE crm.audit_log_p202202 IS 'evidence'",
        f"ALTER TABLE {LOG} ATTACH PARTITION crm.audit_log_p202203"
        " FOR VALUES FROM ('2022-03-01 00:00+00') TO ('2022-04-01 00:00+00')",
    )

    assert [each.table.name[-6:] for each in logs.read(database).detached] == ["202204"]
