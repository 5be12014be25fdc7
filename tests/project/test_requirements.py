"""What is needed, what is locked and what is imported agree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
TOOLS = "requirements-dev.txt"
# What runs, each extra of the package, the tools.
NEEDED = sorted(file.name for file in ROOT.glob("requirements*.txt"))
EXTRAS = {
    file.removeprefix("requirements-").removesuffix(".txt"): file
    for file in NEEDED
    if file not in ("requirements.txt", TOOLS)
}
LOCKS = ("requirements.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lines(file: str) -> list[str]:
    """The lines of a file as pip reads them: continued ones joined, comments gone."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        line
        for line in (re.sub(r"(^|\s)#.*", "", each).strip() for each in text.splitlines())
        if line
    ]


def needed(file: str) -> list[Requirement]:
    return [Requirement(line) for line in lines(file)]


def locked(file: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Each locked package: how it is pinned, and its hashes."""
    found = {}
    for line in lines(file):
        pin, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(pin)
        found[canonicalize_name(requirement.name)] = (requirement, hashes)
    return found


def version(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    return Version(specifier.version)


@pytest.mark.parametrize("file", LOCKS)
def test_a_lock_pins_every_package_with_its_hashes(file: str) -> None:
    for name, (requirement, hashes) in locked(file).items():
        assert [each.operator for each in requirement.specifier] == ["=="], name
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), name


@pytest.mark.parametrize("file", [*NEEDED, *LOCKS])
def test_no_file_says_where_packages_come_from(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "://" not in text
    options = [line for line in lines(file) if line.startswith("-")]
    assert not options, "an index, a folder or another file is the installer's business"
    assert all(requirement.url is None for requirement, _ in _pins(file))


@pytest.mark.parametrize("file", NEEDED)
def test_what_is_needed_is_locked_within_its_bounds(file: str) -> None:
    runs = file in ("requirements.txt", "requirements-local.txt")
    locks = LOCKS[:1] if runs else LOCKS
    pins = {name: pin for lock in locks for name, (pin, _) in locked(lock).items()}
    for requirement in needed(file):
        name = canonicalize_name(requirement.name)
        assert requirement.specifier, f"{name} has no bounds"
        assert name in pins, f"{name} is not in {' or '.join(locks)}: run `make lock`"
        assert requirement.specifier.contains(version(pins[name])), (
            f"{name} is locked at {version(pins[name])}, {requirement.specifier} is needed"
        )


def test_what_runs_has_an_upper_bound_too() -> None:
    unbounded = [
        requirement.name
        for requirement in needed("requirements.txt")
        if not any(each.operator == "<" for each in requirement.specifier)
    ]
    assert not unbounded


def test_both_locks_have_one_version_of_a_package() -> None:
    run, dev = (locked(file) for file in LOCKS)
    differing = {
        name: (str(run[name][0].specifier), str(dev[name][0].specifier))
        for name in run.keys() & dev.keys()
        if version(run[name][0]) != version(dev[name][0])
    }
    assert not differing


def test_the_package_needs_what_the_files_say() -> None:
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["requirements.txt"]}
    assert dynamic["optional-dependencies"] == {
        extra: {"file": [file]} for extra, file in EXTRAS.items()
    }
    assert not {"dependencies", "optional-dependencies"} & PROJECT["project"].keys()


@pytest.mark.parametrize("python", ["3.11.0", "3.12.9"])
def test_both_pythons_are_accepted(python: str) -> None:
    assert Requirement(f"x{PROJECT['project']['requires-python']}").specifier.contains(python)
    short = python.rpartition(".")[0]
    assert f"Programming Language :: Python :: {short}" in PROJECT["project"]["classifiers"]


def test_what_is_imported_is_needed_by_name() -> None:
    """Not only there because something else happens to need it."""
    named = {
        canonicalize_name(requirement.name)
        for file in NEEDED
        if file != TOOLS
        for requirement in needed(file)
    }
    providers = dict(packages_distributions())
    # What pydantic gives its users to extend it with, pinned by it.
    providers["pydantic_core"] = ["pydantic"]
    lacking = {
        f"{file.relative_to(ROOT)} imports {module}"
        for room in ("crm_ops", "include", "dags", "plugins")
        for file in sorted((ROOT / room).rglob("*.py"))
        for module in _imported(file)
        if not named & {canonicalize_name(each) for each in providers.get(module, ())}
    }
    assert not lacking


def _pins(file: str) -> Iterator[tuple[Requirement, list[str]]]:
    if file in LOCKS:
        yield from locked(file).values()
    else:
        yield from ((requirement, []) for requirement in needed(file))


def _imported(file: Path) -> set[str]:
    """The packages of others that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    folders = (ROOT, ROOT / "plugins", file.parent)
    ours = {path.stem for folder in folders for path in folder.iterdir()}
    return found - set(sys.stdlib_module_names) - ours
