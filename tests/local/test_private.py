from __future__ import annotations

from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import private


def test_what_was_written_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    private.write(tmp_path / "file.json", {"a": [1]})
    assert private.read(tmp_path / "file.json") == {"a": [1]}
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == 0o600


def test_no_file_reads_as_none(tmp_path: Path) -> None:
    assert private.read(tmp_path / "file.json") is None


def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text("{")
    with pytest.raises(errors.LocalError, match=r"file\.json cannot be read; remove it"):
        private.read(tmp_path / "file.json")


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_text("half")
    private.write(tmp_path / "file.json", 1)
    assert private.read(tmp_path / "file.json") == 1
