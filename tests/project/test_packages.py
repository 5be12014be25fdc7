"""The folders of the library are packages that say what they offer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Alembic reads these by their files.
NO_PACKAGE = {ROOT / "crm_ops" / "schema" / "versions"}
FOLDERS = sorted(
    {file.parent for room in ("crm_ops", "include") for file in (ROOT / room).rglob("*.py")}
    - NO_PACKAGE
)


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(each.relative_to(ROOT)) for each in FOLDERS])
def test_every_folder_is_a_package_with_a_docstring_and_all(folder: Path) -> None:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert "__all__" in _assigned(tree)


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(each.relative_to(ROOT)) for each in FOLDERS])
def test_every_module_says_what_it_offers_and_has_it(folder: Path) -> None:
    for file in folder.glob("*.py"):
        # Alembic runs it; nobody imports it.
        if file.name == "env.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        offered = _assigned(tree).get("__all__")
        assert offered is not None, f"{file.name} has no __all__"
        assert set(ast.literal_eval(offered)) <= _names(tree), file.name


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    found = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.expr):
                found[target.id] = value
    return found


def _names(tree: ast.Module) -> set[str]:
    """What a module defines or imports."""
    found = set(_assigned(tree))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found
