"""Archived months are read where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.audit import query, restoration
from crm_ops.audit.months import Month
from crm_ops.base import errors
from tests.audit import archives
from tests.audit.archives import policy
from tests.audit.logs import LOG


def read(engine: sa.Engine, folder: Path, **how: str) -> list[dict[str, object]]:
    entries = restoration.entries_of(engine, LOG, Month(2023, 2))
    names, rows = query.rows(archives.storage(folder), policy(), entries, **how)
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_an_archived_month_is_read_as_if_it_were_there(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)

    rows = read(expired, tmp_path)

    assert len(rows) == 300
    assert [row["user_id"] for row in rows] == list(range(300)), "by time"
    assert {row["company_id"] for row in read(expired, tmp_path, tenant="3")} == {3}
    assert len(read(expired, tmp_path, tenant="3", where="user_id < 20 OR user_id = 290")) == 4


def test_a_condition_reads_nothing_but_the_archive(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)
    (tmp_path / "secret.txt").write_text("secret")

    secret = f"(SELECT content FROM read_text('{tmp_path}/secret.txt'))"

    with pytest.raises(errors.ParameterError, match="cannot be answered"):
        read(expired, tmp_path, where=f"{secret} > ''")


def test_an_altered_file_is_not_read(expired: sa.Engine, tmp_path: Path) -> None:
    archives.maintain(expired, tmp_path)
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(errors.AuditError, match="is not what was written there"):
        read(expired, tmp_path)
