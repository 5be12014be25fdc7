"""Detached -> exported -> verified -> dropped."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from crm_ops.audit import (
    apply,
    archiving,
    chain,
    claims,
    inspection,
    manifest,
    plan,
    restoration,
)
from crm_ops.audit.months import Month
from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from tests.audit import archives, logs
from tests.audit.archives import policy
from tests.audit.logs import LOG, NOW

FEBRUARY = Relation("crm", "audit_log_p202302")


def test_an_expired_month_is_exported_verified_and_dropped(
    expired: sa.Engine, tmp_path: Path
) -> None:
    before = archives.everything(expired, tmp_path)

    archives.maintain(expired, tmp_path)

    assert logs.state(expired, str(FEBRUARY)) == ("dropped", 300)
    assert not logs.exists(expired, str(FEBRUARY))
    assert sum(archives.archived(expired, tmp_path).values()) == 300
    assert archives.everything(expired, tmp_path) == before
    (file,) = tmp_path.rglob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert rows[0].keys() == {
        "id",
        "company_id",
        "user_id",
        "action",
        "changes",
        "ip",
        "created_at",
    }
    companies = [row["company_id"] for row in rows]
    assert companies == sorted(companies, key=lambda c: (c is None, c or 0)), "sorted for reading"


def test_the_table_stays_for_its_grace_and_rows_written_into_it_meanwhile_are_archived_too(
    expired: sa.Engine, tmp_path: Path
) -> None:
    declared = policy(grace_days=3)
    archives.maintain(expired, tmp_path, declared)
    assert logs.state(expired, str(FEBRUARY)) == ("verified", 300)
    archives.maintain(expired, tmp_path, declared)
    assert logs.exists(expired, str(FEBRUARY))
    logs.run(
        expired,
        f"INSERT INTO {FEBRUARY} (id, created_at) VALUES (9999, '2023-02-03')",
        "UPDATE crm_ops.audit_partition SET detached_at = now() - interval '4 days'",
    )

    with pytest.raises(errors.AuditError, match="has changed since it was archived"):
        archives.maintain(expired, tmp_path, policy(grace_days=0))
    assert logs.exists(expired, str(FEBRUARY))
    archives.maintain(expired, tmp_path)

    assert logs.state(expired, str(FEBRUARY)) == ("dropped", 301)
    assert set(archives.archived(expired, tmp_path).values()) == {1}
    assert archives.archived(expired, tmp_path)[9999] == 1


def test_a_byte_that_flips_after_the_export_is_noticed_and_the_month_exported_again(
    expired: sa.Engine, tmp_path: Path
) -> None:
    made = logs.planned(expired, policy())
    apply.detach(expired, made)
    archiving.export(expired, archives.storage(tmp_path), policy(), FEBRUARY)
    (file,) = tmp_path.rglob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    done = archiving.verify(expired, archives.storage(tmp_path), policy(), FEBRUARY, now=NOW)

    assert (done.exported_rows, done.verified_rows) == (300, 300)
    assert (
        apply.drop(
            expired, logs.planned(expired, policy()), archives.storage(tmp_path)
        ).dropped_rows
        == 300
    )
    assert sum(archives.archived(expired, tmp_path).values()) == 300
    assert len(list(tmp_path.rglob("*.parquet"))) == 1, "the spoilt try is not left behind"
    assert inspection.inspect(expired, archives.storage(tmp_path), LOG).sound


def test_a_spoilt_try_that_may_not_be_deleted_stops_nothing_and_is_named(
    expired: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    apply.detach(expired, logs.planned(expired, policy()))
    archiving.export(expired, archives.storage(tmp_path), policy(), FEBRUARY)
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes() + b" ")
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.rm_file", refuse)

    archives.maintain(expired, tmp_path)

    assert logs.state(expired, str(FEBRUARY)) == ("dropped", 300)
    found = inspection.inspect(expired, archives.storage(tmp_path), LOG).findings
    assert [(each.what, each.name.rpartition("/")[2]) for each in found] == [("added", file.name)]


def test_a_file_whose_link_was_never_made_waits_for_the_next_run_and_is_no_finding(
    expired: sa.Engine, tmp_path: Path
) -> None:
    apply.detach(expired, logs.planned(expired, policy()))
    archiving.export(expired, archives.storage(tmp_path), policy(), FEBRUARY)
    # Killed before the record: the file is there, and the table still to be exported.
    logs.run(expired, "UPDATE crm_ops.audit_partition SET state = 'detached', file = NULL")
    (file,) = tmp_path.rglob("*.parquet")
    file.with_name("audit_log_p202302-7-1.parquet").write_bytes(file.read_bytes())

    found = inspection.inspect(expired, archives.storage(tmp_path), LOG)
    assert found.waiting == 1
    assert [(each.what, each.name.rpartition("/")[2]) for each in found.findings] == [
        ("added", "audit_log_p202302-7-1.parquet")
    ]

    file.with_name("audit_log_p202302-7-1.parquet").unlink()
    archives.maintain(expired, tmp_path)
    found = inspection.inspect(expired, archives.storage(tmp_path), LOG)
    assert (found.sound, found.files, found.waiting) == (True, 1, 0)
    assert list(tmp_path.rglob("*.parquet")) == [file]


def test_a_file_that_is_lost_or_altered_before_the_drop_keeps_the_table(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path, policy(grace_days=1))
    (file,) = tmp_path.rglob("*.parquet")
    file.unlink()

    with pytest.raises(errors.AuditError, match="is not what was written there"):
        archives.maintain(expired, tmp_path)
    assert logs.exists(expired, str(FEBRUARY))
    archives.maintain(expired, tmp_path)

    assert sum(archives.archived(expired, tmp_path).values()) == 300
    assert not logs.exists(expired, str(FEBRUARY))


def test_an_archive_that_is_not_mounted_any_more_is_refused(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    logs.run(
        expired,
        f"CREATE TABLE {FEBRUARY} PARTITION OF {LOG} FOR VALUES"
        " FROM ('2023-02-01') TO ('2023-03-01')",
    )

    with pytest.raises(errors.AuditError, match="is its disk mounted"):
        archives.maintain(expired, tmp_path / "disk")


def test_an_archive_that_is_not_mounted_before_its_first_file_is_refused_too(
    expired: sa.Engine, tmp_path: Path
) -> None:
    disk = archives.storage(tmp_path / "disk")
    manifest.publish(expired, LOG, disk)
    (tmp_path / "disk").rename(tmp_path / "elsewhere")

    with pytest.raises(errors.AuditError, match="it was begun there: is its disk mounted"):
        archives.maintain(expired, tmp_path / "disk")

    assert logs.exists(expired, str(FEBRUARY))
    assert not list(tmp_path.rglob("*.parquet*"))
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    archives.maintain(expired, tmp_path / "disk")
    assert sum(archives.archived(expired, tmp_path / "disk").values()) == 300


def test_before_the_first_file_the_catalog_may_name_another_place(
    expired: sa.Engine, tmp_path: Path
) -> None:
    manifest.publish(expired, LOG, archives.storage(tmp_path / "first"))

    archives.maintain(expired, tmp_path / "second")

    assert sum(archives.archived(expired, tmp_path / "second").values()) == 300
    with pytest.raises(errors.AuditError, match=r"1 file\(s\) were archived: is its disk mounted"):
        manifest.publish(expired, LOG, archives.storage(tmp_path / "third"))


def test_an_archive_begun_by_a_run_that_was_killed_is_begun_by_the_next(
    expired: sa.Engine, tmp_path: Path
) -> None:
    disk = archives.storage(tmp_path)
    manifest.publish(expired, LOG, disk)
    logs.run(expired, "DELETE FROM crm_ops.audit_archive")

    manifest.publish(expired, LOG, disk)

    assert logs.value(expired, "SELECT url FROM crm_ops.audit_archive") == disk.url


def test_an_archive_that_is_older_than_the_database_is_refused(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path)
    head = next(tmp_path.rglob("head.json"))
    logs.run(
        expired,
        "INSERT INTO crm_ops.audit_link SELECT parent, number + n, entry, hash"
        " FROM crm_ops.audit_link, generate_series(1, 2) n",
    )

    with pytest.raises(errors.AuditError, match="knows 1 of 3 links"):
        manifest.publish(expired, LOG, archives.storage(tmp_path))

    assert b'"number":1' in head.read_bytes()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_target_is_told_and_nothing_is_dropped(
    expired: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = archives.everything(expired, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("pyarrow.parquet.ParquetWriter.write_batch", refuse)
        with pytest.raises(errors.AuditError, match=os.strerror(code)):
            archives.maintain(expired, tmp_path)

    assert logs.exists(expired, str(FEBRUARY))
    assert not list(tmp_path.rglob("*.parquet*"))
    assert archives.everything(expired, tmp_path) == before
    archives.maintain(expired, tmp_path)
    assert archives.everything(expired, tmp_path) == before


@pytest.mark.parametrize("time", ["timestamp", "date"])
def test_months_of_every_type_of_time_column_are_archived(
    database: sa.Engine, tmp_path: Path, time: str
) -> None:
    logs.create(database, ["2023-02", "2024-03"], time=time)
    logs.run(
        database,
        "INSERT INTO crm.audit_log (created_at) VALUES ('2023-02-01'), ('2023-02-28')",
    )

    archives.maintain(database, tmp_path)

    assert sum(archives.archived(database, tmp_path).values()) == 2
    assert logs.state(database, str(FEBRUARY)) == ("dropped", 2)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns", "Etc/GMT+12"])
def test_a_leap_day_leaves_and_comes_back_whatever_the_time_zone_of_the_database(
    database: sa.Engine, tmp_path: Path, zone: str
) -> None:
    logs.create(database, ["2020-02", "2020-03", "2024-03"])
    logs.run(
        database,
        f"ALTER DATABASE {database.url.database} SET TimeZone = '{zone}'",
        "INSERT INTO crm.audit_log (id, created_at) VALUES (1, '2020-02-29 00:00+00'),"
        " (2, '2020-02-29 23:59:59.999999+00'), (3, '2020-03-01 00:00+00')",
    )
    database.dispose()

    archives.maintain(database, tmp_path)
    leap = restoration.restore(database, archives.storage(tmp_path), policy(), Month(2020, 2))

    assert logs.value(database, f"SELECT array_agg(id ORDER BY id) FROM {leap.table}") == [1, 2]
    assert sum(archives.archived(database, tmp_path).values()) == 3


def test_a_month_waits_for_a_tenant_who_keeps_its_rows_longer(
    expired: sa.Engine, tmp_path: Path
) -> None:
    declared = policy(retention_months_by_tenant={"3": 24, "99": 60})
    found = logs.read(expired, declared)
    with databases.transaction(expired) as connection:
        claimed = claims.read(connection, found, declared, NOW)

    made = plan.make(found, declared, NOW, claimed=claimed)

    assert made.expiries == ()
    assert made.kept[0].why == "expired, but for rows of 3, who keep theirs longer"


def test_an_archive_in_an_object_store_is_found_there(expired: sa.Engine, tmp_path: Path) -> None:
    store = archiving.Storage("memory://bucket/audit", tmp_path)
    made = logs.planned(expired, policy())
    apply.detach(expired, made)

    archiving.export(expired, store, policy(), FEBRUARY)
    archiving.verify(expired, store, policy(), FEBRUARY, now=NOW)

    assert apply.drop(expired, made, store).dropped_rows == 300
    assert len(store.names(chain.folder(LOG))) == 3


def maintain_and_die(url: str, folder: Path, step: int) -> None:
    """Maintain in a process that is killed before its step of that number.

    A step is a statement, a rename in the archive, or the flush of a file.
    """
    left = step

    def counting(function: object) -> object:
        def counted(*given: object, **values: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **values)  # type: ignore[operator]

        return counted

    sql.run = counting(sql.run)  # type: ignore[assignment]
    os.replace = counting(os.replace)  # type: ignore[assignment]
    os.fsync = counting(os.fsync)  # type: ignore[assignment]
    engine = databases.engine(url)
    archives.maintain(engine, folder, policy(months_ahead=1))
    os._exit(0)


def test_killed_before_any_step_the_next_run_finishes_and_every_row_is_there_once(
    database: sa.Engine, tmp_path: Path
) -> None:
    url = database.url.render_as_string(hide_password=False)
    killed, step = True, 0
    logs.create(database, ["2023-02", "2024-03", "2024-04"])
    while killed:
        step += 3
        name = f"crm.audit_log_{step}"
        logs.run(
            database,
            f"CREATE TABLE {name} PARTITION OF crm.audit_log FOR VALUES"
            f" FROM ('20{20 - step // 12:02}-{step % 12 + 1:02}-01')"
            f" TO ('20{20 - step // 12:02}-{step % 12 + 1:02}-02')",
        )
        logs.add(database, f"20{20 - step // 12:02}-{step % 12 + 1:02}-01 10:00", 5)
        before = archives.everything(database, tmp_path)
        process = multiprocessing.get_context("fork").Process(
            target=maintain_and_die, args=(url, tmp_path, step)
        )
        process.start()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0

        assert archives.everything(database, tmp_path) == before
        archives.maintain(database, tmp_path, policy(months_ahead=1))
        assert archives.everything(database, tmp_path) == before
        assert logs.state(database, name) == ("dropped", 5)
    assert step > 60
    assert not [each for each in tmp_path.rglob("*") if each.name.startswith(".part-")]
