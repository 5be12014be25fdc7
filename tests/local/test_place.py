from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_ops.local import place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as root's stead")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="PostgreSQL does not run as root")


def test_the_programs_are_there(home: Path) -> None:
    where = place.make(home / "postgres")
    assert {"initdb", "postgres"} <= {path.name for path in where.programs.iterdir()}


def test_a_second_time_gives_the_same_place_with_its_data(home: Path) -> None:
    first = place.make(home / "postgres")
    (first.folder / "data").mkdir()
    assert place.make(home / "postgres") == first
    assert (first.folder / "data").is_dir()


def test_what_was_made_is_removed_data_included(home: Path) -> None:
    where = place.make(home / "postgres")
    place.remove(home / "postgres")
    assert not where.folder.exists()
    assert not (home / "postgres").is_symlink()


@as_user
def test_an_ordinary_user_keeps_everything_in_the_stacks_folder(home: Path) -> None:
    where = place.make(home / "postgres")
    assert where.account is None
    assert where.folder.is_relative_to(home)


@as_root
def test_root_lends_a_user_a_folder_outside_and_opens_none_of_its_own(home: Path) -> None:
    where = place.make(home / "postgres")
    assert where.account
    assert (home / "postgres").is_symlink()
    assert where.folder.stat().st_uid == where.account.uid
    assert where.folder.stat().st_mode & 0o777 == 0o700
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_what_an_earlier_project_at_this_path_left_is_not_taken_over(home: Path) -> None:
    where = place.make(home / "postgres")
    (where.folder / "data").mkdir()
    (home / "postgres").unlink()
    assert not (place.make(home / "postgres").folder / "data").exists()
