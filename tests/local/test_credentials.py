from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.local import credentials


def test_they_are_made_once_and_kept_for_their_owner(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    made = credentials.load(file)
    assert credentials.load(file) == made
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_two_are_alike(tmp_path: Path) -> None:
    one, two = (credentials.load(tmp_path / name) for name in ("one.json", "two.json"))
    every = astuple(one) + astuple(two)
    assert len(set(every)) == len(every)


def test_they_are_not_shown(tmp_path: Path) -> None:
    made = credentials.load(tmp_path / "credentials.json")
    assert not any(secret in repr(made) for secret in astuple(made))


def test_those_of_another_version_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"postgres": "secret"}')
    with pytest.raises(errors.LocalError, match="make clean"):
        credentials.load(tmp_path / "credentials.json")
