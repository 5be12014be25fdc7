"""The documentation names every command, option and setting, and what it names is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from crm_ops.base import settings
from crm_ops.cli import main

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(file.relative_to(ROOT)) for file in DOCS]
REFERENCE = ROOT / "docs" / "cli.md"


def text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(file), re.MULTILINE | re.DOTALL)


def commands(
    command: Any = None, path: tuple[str, ...] = ("crm-ops",)
) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with how it is called."""
    command = command or typer.main.get_command(main.app)
    inner = getattr(command, "commands", {})
    if not inner:
        yield " ".join(path), command
    for name, each in inner.items():
        yield from commands(each, (*path, name))


def options(command: Any) -> set[str]:
    return {name for each in command.params for name in each.opts if name.startswith("--")}


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_its_options_are_in_the_reference(name: str) -> None:
    sections = re.split(r"^### ", text(REFERENCE), flags=re.MULTILINE)
    described = [each for each in sections if each.startswith(f"`{name}`")]
    assert described, f"docs/cli.md has no section `{name}`"
    shown = set(re.findall(r"--[a-z-]+", described[0]))
    lacking = options(COMMANDS[name]) - shown - {"--help"}
    assert not lacking, f"docs/cli.md lacks options of `{name}`"


def test_every_setting_is_in_the_reference() -> None:
    named = {
        variable
        for room in ("crm_ops", "include", "dags", "plugins", "bench", "tests", "drill", "Makefile")
        for file in _files(ROOT / room)
        for variable in re.findall(r"\bCRM_OPS_[A-Z_]+\b", text(file))
    }
    wanted = named | {
        settings.DATABASE_URL,
        settings.REDIS_URL,
        settings.CATALOG,
        settings.SIGNING_KEY,
        settings.AIRFLOW_POSTGRES,
        settings.AIRFLOW_REDIS,
    }
    lacking = {variable for variable in wanted if f"`{variable}`" not in text(REFERENCE)}
    assert not lacking, "docs/cli.md lacks settings"


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_every_call_that_is_shown_can_be_made(file: Path) -> None:
    """Of `crm-ops` in a block for the shell, or in a line of text."""
    shown = [line for block in blocks(file, "sh") for line in block.splitlines()]
    shown += re.findall(r"`(crm-ops [^`\n]*)`", text(file))
    for line in shown:
        if not line.startswith("crm-ops "):
            continue
        words = shlex.split(line, comments=True)
        name = max(
            (each for each in COMMANDS if f"{' '.join(words)} ".startswith(f"{each} ")),
            key=len,
            default=None,
        )
        assert name, f"there is no such command: {line}"
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options(COMMANDS[name]) | {"--help"}, f"there is no such option: {line}"


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_every_python_block_compiles(file: Path) -> None:
    for block in blocks(file, "python"):
        compile(block, str(file), "exec")


@pytest.mark.parametrize("file", DOCS, ids=NAMES)
def test_every_link_to_a_file_leads_to_one(file: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text(file))
    lost = [link for link in links if not (file.parent / link).exists()]
    assert not lost, f"{file.name} leads nowhere"


def test_every_document_that_a_message_names_is_there() -> None:
    named = {
        name
        for room in ("crm_ops", "include", "dags", "plugins")
        for file in _files(ROOT / room)
        for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text(file))
    }
    assert not {name for name in named if not (ROOT / name).exists()}


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [file for file in place.rglob("*") if file.suffix in (".py", ".sql", ".yaml", ".sh")]
