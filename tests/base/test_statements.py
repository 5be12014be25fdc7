"""Fixed SQL lies in files: each statement is named once and says what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import crm_ops
from crm_ops.base import statements

ROOT = Path(crm_ops.__file__).parent
# A migration is applied as a whole file; its statements have no names.
FILES = [
    file
    for file in sorted(ROOT.rglob("*.sql"))
    if not file.is_relative_to(ROOT / "schema" / "versions")
]


def test_a_statement_is_loaded_by_its_name_without_the_heading() -> None:
    found = statements.load("crm_ops.publish")["facet_counts"]
    assert found.startswith("-- The stored facet counts")
    assert found.endswith("ORDER BY refresh.tenant")


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_every_file_loads_and_every_statement_is_named_once_and_explained(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    names = re.findall(r"^-- name: (\S+)$", text, re.MULTILINE)
    package, inner = _package(file)

    loaded = statements.load(package, inner)

    assert sorted(loaded) == sorted(names), "a name is there twice, or is no word"
    # A heading of the file speaks for all its statements.
    told = text.startswith("-- ") and not text.startswith("-- name:")
    silent = [name for name, body in loaded.items() if not (told or body.startswith("-- "))]
    assert not silent, "no comment says what these answer"
    assert all(_code(body) for body in loaded.values()), "a statement is empty"


def _package(file: Path) -> tuple[str, str]:
    """The package that a file lies in, and its path there."""
    folder = file.parent
    while not (folder / "__init__.py").exists():
        folder = folder.parent
    return ".".join(folder.relative_to(ROOT.parent).parts), str(file.relative_to(folder))


def _code(body: str) -> str:
    return re.sub(r"--.*", "", body).strip()
