"""`crm-ops catalog`: every problem at once, with its line, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.catalog import json_schema
from tests.cli.conftest import Ended

Call = Callable[..., Ended]


def test_the_project_s_own_catalog_fits_the_demo(crm_ops: Call, connected: sa.Engine) -> None:
    ended = crm_ops("catalog", "validate")
    assert (ended.code, ended.out) == (0, "")
    assert "include/crm_ops.yaml: valid: 4 entities" in ended.err


def test_without_a_database_only_the_file_is_checked(crm_ops: Call) -> None:
    ended = crm_ops("catalog", "validate", "--offline")
    assert (ended.code, ended.out) == (0, "")
    assert "valid (the database was not looked at): 4 entities" in ended.err
    unnamed = crm_ops("catalog", "validate")
    assert unnamed.code == 2
    assert "no database is named" in unnamed.err


def test_every_problem_of_the_file_is_told_with_its_line(
    crm_ops: Call, catalog: Callable[..., Path]
) -> None:
    broken = catalog(
        ("time_zone: UTC", "time_zone: Mars"),
        ('schedule: "0 2 * * *"', 'schedule: "0 25 * * *"'),
        ("by: [source]", "by: [sauce]"),
    )
    ended = crm_ops("catalog", "validate", "--offline", "--catalog", broken)

    assert (ended.code, ended.out) == (1, "")
    lines = ended.err.splitlines()
    assert lines[0] == "crm-ops: the catalog has 3 problems, nothing was written:"
    text = broken.read_text(encoding="utf-8").splitlines()
    for line, wrong in zip(lines[1:], ("Mars", "[sauce]", "0 25"), strict=True):
        number = next(at for at, each in enumerate(text, start=1) if wrong in each)
        assert line.startswith(f"  {broken}:{number}: ")


def test_every_problem_with_the_database_is_told_with_its_line(
    crm_ops: Call, connected: sa.Engine, catalog: Callable[..., Path]
) -> None:
    broken = catalog(
        ("table: crm.contact", "table: crm.kontact"), ("{sum: annual_revenue}", "{sum: industry}")
    )
    ended = crm_ops("catalog", "validate", "--catalog", broken)

    assert (ended.code, ended.out) == (1, "")
    assert "there is no table crm.kontact" in ended.err
    assert "crm.account.industry is text; name a column that is a number" in ended.err
    assert ended.err.count(f"  {broken}:") == 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such file; name the catalog by CRM_OPS_CATALOG"),
        (b"", "problem"),
        (b"- a list", "problem"),
        (b"version: [1", "problem"),
        (b"version: 1\n\xff", "is not UTF-8"),
        (b"a: &a [*a]", "problem"),
        (b"\0", "problem"),
    ],
    ids=["no file", "empty", "a list", "no YAML", "no text", "a circle", "NUL"],
)
def test_what_is_no_catalog_is_told_in_words(
    crm_ops: Call, tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "catalog.yaml"
    if content is not None:
        path.write_bytes(content)
    ended = crm_ops("catalog", "validate", "--offline", "--catalog", path)
    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err
    assert str(path) in ended.err


def test_a_folder_is_no_catalog(crm_ops: Call, tmp_path: Path) -> None:
    ended = crm_ops("catalog", "validate", "--offline", "--catalog", tmp_path)
    assert ended.code == 1
    assert f"{tmp_path}: cannot be read" in ended.err


def test_the_schema_for_editors_is_data(crm_ops: Call) -> None:
    ended = crm_ops("catalog", "schema")
    assert (ended.code, ended.err) == (0, "")
    assert ended.data == json.loads(json_schema.text())
