"""A real audit trail, month by month very uneven: partitioned, archived, altered, restored."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from crm_ops.audit import inspection, restoration
from crm_ops.audit.months import Month
from crm_ops.base.sql import Relation
from tests.audit import archives, logs
from tests.audit.archives import policy
from tests.audit.logs import LOG

EVENTS = 141_712


def source() -> Path:
    """The file, beside the checkout."""
    for folder in Path(__file__).parents:
        found = folder / "shared/data/incident/incident_event_log.csv.zip"
        if found.exists():
            return found
    pytest.skip("shared/data/incident/incident_event_log.csv.zip is not beside the checkout")


def fill(engine: sa.Engine) -> int:
    """Each update of an incident as an audit row, at the time of the update."""
    with zipfile.ZipFile(source()) as packed, packed.open(packed.namelist()[0]) as raw:
        rows = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8"))
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            statement = "COPY crm.audit_log (action, changes, created_at) FROM STDIN"
            count = 0
            with cursor.copy(statement) as copy:
                for row in rows:
                    day, moment = row["sys_updated_at"].split(" ")
                    date, month, year = day.split("/")
                    said = {key: value for key, value in row.items() if value != "?"}
                    copy.write_row(
                        (
                            row["incident_state"],
                            psycopg.types.json.Jsonb(said),
                            f"{year}-{month}-{date} {moment}+00",
                        )
                    )
                    count += 1
    return count


def test_the_incident_log_is_archived_altered_found_and_restored_with_nothing_lost(
    database: sa.Engine, tmp_path: Path
) -> None:
    logs.create(database)
    assert fill(database) == EVENTS
    text = "SELECT md5(string_agg(md5(row::text), '' ORDER BY id)) FROM {} row"
    before = logs.value(
        database,
        text.format(LOG) + " WHERE created_at < '2016-04-01' AND created_at >= '2016-03-01'",
    )

    declared = policy(retention_months=3)
    for month in range(1, 13):
        archives.maintain(database, tmp_path, declared, datetime(2017, month, 5, tzinfo=UTC))

    assert sum(archives.everything(database, tmp_path).values()) == EVENTS
    assert set(archives.everything(database, tmp_path).values()) == {1}
    assert logs.count(database) == 0
    found = inspection.inspect(database, archives.storage(tmp_path), LOG)
    assert (found.sound, found.rows) == (True, EVENTS)

    file = next(tmp_path.rglob("2016-03/*.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    found = inspection.inspect(database, archives.storage(tmp_path), LOG)
    assert [(each.what, each.name.rpartition("/")[2]) for each in found.findings] == [
        ("altered", file.name)
    ]
    file.write_bytes(content)
    back = Relation("crm", "march")
    restoration.restore(database, archives.storage(tmp_path), declared, Month(2016, 3), into=back)
    assert logs.value(database, text.format(back)) == before
