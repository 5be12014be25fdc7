"""An archived month comes back, exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.audit import restoration
from crm_ops.audit.months import Month
from crm_ops.base import errors
from crm_ops.base.sql import Relation
from tests.audit import archives, logs
from tests.audit.archives import policy
from tests.audit.logs import NOW

FEBRUARY = Month(2023, 2)
TEXT = "SELECT string_agg(row::text, '' ORDER BY id) FROM {} row WHERE created_at < '2023-03-01'"


def restore(engine: sa.Engine, folder: Path, **how: object) -> restoration.Restored:
    return restoration.restore(engine, archives.storage(folder), policy(), FEBRUARY, **how)  # type: ignore[arg-type]


def test_a_month_is_restored_to_a_table_of_its_own_to_the_letter(
    expired: sa.Engine, tmp_path: Path
) -> None:
    before = logs.value(expired, TEXT.format("crm.audit_log"))
    archives.maintain(expired, tmp_path)

    done = restore(expired, tmp_path)

    assert str(done.table) == "crm.audit_log_restored_202302"
    assert (done.rows, done.already) == (300, False)
    assert logs.value(expired, TEXT.format(done.table)) == before
    assert restore(expired, tmp_path).already
    assert logs.count(expired, done.table) == 300


def test_a_month_is_restored_to_a_named_table_and_no_other_is_overwritten(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path)
    logs.run(expired, "CREATE TABLE crm.mine (id bigint)")

    assert restore(expired, tmp_path, into=Relation("crm", "case_7")).rows == 300
    with pytest.raises(errors.AuditError, match=r"crm\.mine is there already and does not hold"):
        restore(expired, tmp_path, into=Relation("crm", "mine"))


def test_an_attached_month_is_read_with_the_others_takes_late_rows_and_leaves_again_once(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path)
    logs.add(expired, "2023-02-20", 2)

    assert restore(expired, tmp_path, attach=True).attached
    assert restore(expired, tmp_path, attach=True).already
    logs.add(expired, "2023-02-21", 3)

    assert logs.count(expired) == 325
    assert logs.value(expired, "SELECT count(*) FROM crm.audit_log_default") == 0
    archives.maintain(expired, tmp_path)
    assert logs.count(expired) == 325, "it is left for those who asked for it"
    logs.run(expired, "UPDATE crm_ops.audit_partition SET restored_at = now() - interval '2 days'")
    archives.maintain(expired, tmp_path)

    assert logs.count(expired) == 20
    assert len(archives.archived(expired, tmp_path)) == 305
    assert set(archives.archived(expired, tmp_path).values()) == {1}
    assert restore(expired, tmp_path).rows == 305


def test_late_rows_are_a_further_part_of_their_month(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)
    logs.add(expired, "2023-02-20", 5)

    archives.maintain(expired, tmp_path)

    assert logs.value(expired, "SELECT count(*) FROM crm.audit_log_default") == 0
    assert sum(archives.archived(expired, tmp_path).values()) == 305
    done = restore(expired, tmp_path)
    assert (done.rows, done.files) == (305, 2)


def test_an_altered_file_is_not_restored(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"!")

    with pytest.raises(errors.AuditError, match="nothing was restored"):
        restore(expired, tmp_path)
    assert not logs.exists(expired, "crm.audit_log_restored_202302")


def test_a_month_that_is_not_archived_is_told(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)

    with pytest.raises(errors.ParameterError, match=r"2024-03 .* not in the archive; .* 2023-02"):
        restoration.restore(expired, archives.storage(tmp_path), policy(), Month.of(NOW))


def test_a_month_with_every_odd_type_comes_back(database: sa.Engine, tmp_path: Path) -> None:
    logs.create(database, ["2023-02", "2024-03"])
    logs.run(
        database,
        "CREATE TYPE crm.mood AS ENUM ('sad', 'ok')",
        "ALTER TABLE crm.audit_log ADD flag boolean, ADD n numeric, ADD f float8, ADD u uuid,"
        " ADD b bytea, ADD a text[], ADD m crm.mood, ADD d date, ADD t timestamptz,"
        ' ADD "odd "" %% name" char(5), ADD i interval, ADD js json, ADD empty text',
        "INSERT INTO crm.audit_log VALUES (1, 2, 3, '', '[1.0]', '::1', '2023-02-03', true, 1.10,"
        " 'NaN', gen_random_uuid(), '\\x00ff', ARRAY['a', NULL, '\"'], 'ok', 'infinity',"
        " '-infinity', 'ab', '1 mon', '{ \"a\" :1}', '')",
        "INSERT INTO crm.audit_log (action, created_at, f, empty)"
        " VALUES (E'line\\nand, \"quote\"', '2023-02-04', 1e300, NULL)",
    )
    before = logs.value(database, TEXT.format("crm.audit_log"))

    archives.maintain(database, tmp_path)

    assert restore(database, tmp_path).rows == 2
    assert logs.value(database, TEXT.format("crm.audit_log_restored_202302")) == before
    assert restore(database, tmp_path, attach=True, into=Relation("crm", "back")).rows == 2
    assert logs.value(database, TEXT.format("crm.audit_log")) == before
