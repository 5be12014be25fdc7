"""verify-archive names what was altered, missing or added."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.audit import inspection
from tests.audit import archives, logs
from tests.audit.logs import LOG


@pytest.fixture
def archive(expired: sa.Engine, tmp_path: Path) -> Path:
    """An archive of two months."""
    logs.run(
        expired,
        "CREATE TABLE crm.audit_log_p202301 PARTITION OF crm.audit_log"
        " FOR VALUES FROM ('2023-01-01') TO ('2023-02-01')",
    )
    logs.add(expired, "2023-01-05", 50)
    archives.maintain(expired, tmp_path)
    return tmp_path


def inspect(engine: sa.Engine, folder: Path) -> list[tuple[str, str]]:
    found = inspection.inspect(engine, archives.storage(folder), LOG)
    return [(each.what, each.name.rpartition("/")[2]) for each in found.findings]


def test_an_untouched_archive_is_sound(expired: sa.Engine, archive: Path) -> None:
    found = inspection.inspect(expired, archives.storage(archive), LOG)

    assert found.sound
    assert (found.files, found.rows, found.links) == (2, 350, 2)


def test_one_byte_altered_in_a_file_is_found(expired: sa.Engine, archive: Path) -> None:
    file = sorted(archive.rglob("*.parquet"))[1]
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)

    assert inspect(expired, archive) == [("altered", file.name)]


def test_a_file_that_is_gone_and_one_that_nobody_archived_are_found(
    expired: sa.Engine, archive: Path
) -> None:
    first, second = sorted(archive.rglob("*.parquet"))
    second.rename(second.with_name("other.parquet"))

    assert inspect(expired, archive) == [("missing", second.name), ("added", "other.parquet")]
    assert first.exists()


def test_an_entry_rewritten_beside_the_files_is_found(expired: sa.Engine, archive: Path) -> None:
    entry = next(archive.rglob("00000001.json"))
    said = json.loads(entry.read_text())
    entry.write_text(json.dumps({**said, "rows": 1}))

    assert inspect(expired, archive) == [("altered", "00000001.json")]


def test_a_link_rewritten_in_the_database_is_found(expired: sa.Engine, archive: Path) -> None:
    logs.run(
        expired,
        "UPDATE crm_ops.audit_link SET entry = replace(entry, '\"rows\":50', '\"rows\":51')"
        " WHERE number = 1",
    )

    assert ("altered", "crm_ops.audit_link 1") in inspect(expired, archive)


def test_a_tail_taken_from_the_database_is_found(expired: sa.Engine, archive: Path) -> None:
    logs.run(expired, "DELETE FROM crm_ops.audit_link WHERE number = 2")

    assert [what for what, _ in inspect(expired, archive)] == ["altered", "added", "added"]
