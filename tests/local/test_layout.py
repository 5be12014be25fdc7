from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import layout


def test_everything_lies_in_one_folder_that_only_its_owner_may_enter(tmp_path: Path) -> None:
    made = layout.make(tmp_path)
    assert made.home == tmp_path / ".local"
    assert made.home.stat().st_mode & 0o777 == 0o700
    places = (made.lock, made.processes, made.credentials, made.ports, made.logs)
    assert all(path.parent == made.home for path in places)
    assert all(path.parent == made.home for path in (made.postgres, made.redis, made.airflow))


def test_the_project_may_lie_apart(tmp_path: Path) -> None:
    made = layout.make(tmp_path / "project", tmp_path / "elsewhere")
    assert (made.root, made.home) == (tmp_path / "project", tmp_path / "elsewhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    made = layout.make(tmp_path)
    os.chown(made.home, 65534, 65534)
    with pytest.raises(errors.LocalError, match="belongs to another user"):
        layout.make(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.LocalError, match=r"file/\.local cannot be made"):
        layout.make(tmp_path / "file")
