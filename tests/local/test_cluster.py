from __future__ import annotations

from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import cluster, place
from crm_ops.local.place import Place


@pytest.fixture
def where(home: Path) -> Place:
    return place.make(home / "postgres")


def test_new_data_are_whole_and_keep_no_password(where: Place) -> None:
    data = cluster.make(where, "secret")
    assert (data / "PG_VERSION").read_text() == "18\n"
    assert [path.name for path in where.folder.iterdir()] == ["data"]


def test_data_that_are_there_are_kept(where: Place) -> None:
    data = cluster.make(where, "secret")
    (data / "mark").write_text("")
    assert (cluster.make(where, "secret") / "mark").exists()


@pytest.mark.parametrize("left", ["data", "data.new", "password"])
def test_what_a_cut_short_start_left_is_made_anew(where: Place, left: str) -> None:
    if left == "password":
        (where.folder / left).write_text("half")
    else:
        (where.folder / left).mkdir()
        (where.folder / left / "PG_VERSION").write_text("18\n")
    data = cluster.make(where, "secret")
    assert (data / "global" / "pg_control").exists()
    assert [path.name for path in where.folder.iterdir()] == ["data"]


def test_data_of_another_major_version_are_refused_with_the_remedy(where: Place) -> None:
    data = cluster.make(where, "secret")
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(errors.LocalError, match=r"PostgreSQL 16 .* pg_dump 16.*make clean"):
        cluster.make(where, "secret")
    assert (data / "global" / "pg_control").exists()
