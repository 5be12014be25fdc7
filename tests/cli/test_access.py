"""`crm-ops access`, typed for a grant and for a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from crm_ops.base import database as databases
from crm_ops.base import errors, settings, sql
from crm_ops.cli import exits
from crm_ops.cli.main import app
from crm_ops.schema import migrate
from crm_ops.sharing import install
from tests.read.test_access import SMALL
from tests.sharing import office


@pytest.fixture
def runner(database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, office.catalog())
    office.fill(database, SMALL)
    path = tmp_path / "catalog.yaml"
    # JSON is YAML.
    path.write_text(office.catalog().model_dump_json(by_alias=True, exclude_none=True))
    monkeypatch.setenv(settings.CATALOG, str(path))
    monkeypatch.setenv(settings.DATABASE_URL, database.url.render_as_string(hide_password=False))
    return CliRunner()


def explain(runner: CliRunner, user: int, *more: str) -> str:
    asked = ["--tenant", "1", "--user", str(user), "--entity", "lead", "--record", "1", *more]
    result = runner.invoke(app, ["access", "explain", *asked], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_a_grant_and_its_way(runner: CliRunner) -> None:
    assert explain(runner, 3) == (
        "user 3 of tenant 1, lead 1: read_only\n  read_only: rule 1 for team 7\n"
    )


def test_a_refusal_and_all_its_reasons(runner: CliRunner) -> None:
    assert explain(runner, 4) == (
        "user 4 of tenant 1, lead 1: no access\n  tenant 1 has no user 4\n"
    )


def test_rules_are_called_by_their_names(runner: CliRunner, database: sa.Engine) -> None:
    with databases.transaction(database) as connection:
        sql.run(connection, "UPDATE office.rule SET name = 'All of EMEA' WHERE id = 1")
    assert explain(runner, 3) == (
        'user 3 of tenant 1, lead 1: read_only\n  read_only: rule "All of EMEA" (1) for team 7\n'
    )
    with databases.transaction(database) as connection:
        sql.run(connection, """UPDATE office.rule SET predicate = '{"like": ["size", 1]}'""")
    told = explain(runner, 3)
    assert told.startswith("user 3 of tenant 1, lead 1: no access\n")
    assert "  rule \"All of EMEA\" (1) grants nothing: unknown operator 'like'\n" in told
    assert "  rule 2 grants nothing: unknown operator 'like'\n" in told
    assert json.loads(explain(runner, 3, "--json"))["broken"] == [
        {"rule": "1", "name": "All of EMEA", "why": "unknown operator 'like'"},
        {"rule": "2", "name": None, "why": "unknown operator 'like'"},
    ]


def test_json(runner: CliRunner) -> None:
    assert json.loads(explain(runner, 1, "--json")) == {
        "tenant": "1",
        "user": "1",
        "entity": "lead",
        "record": "1",
        "level": "read_write",
        "grants": [
            {
                "level": "read_write",
                "way": "has a role above that of the owner 2",
                "rule": None,
            }
        ],
        "why_not": [],
        "broken": [],
    }


def test_who_and_what(runner: CliRunner) -> None:
    asked = ["access", "who", "--tenant", "1", "--entity", "lead", "--record", "1", "--json"]
    found = json.loads(runner.invoke(app, asked, catch_exceptions=False).stdout)
    assert [(seer["user"], seer["level"]) for seer in found] == [
        ("1", "read_write"),
        ("2", "read_write"),
        ("3", "read_only"),
    ]
    asked = ["access", "visible", "--tenant", "1", "--user", "3", "--entity", "lead"]
    assert runner.invoke(app, asked, catch_exceptions=False).stdout == "1\n3\n"


@pytest.mark.parametrize(
    ("command", "option", "given", "told"),
    [
        (
            "explain",
            "--user",
            "ann",
            "--user: 'ann' is no bigint; give a key that is in office.user.id",
        ),
        (
            "explain",
            "--record",
            "1.5",
            "--record: '1.5' is no bigint; give a key that is in office.lead.id",
        ),
        ("who", "--record", "9" * 30, "is no bigint"),
        ("visible", "--tenant", "x", "--tenant: 'x' is no bigint; give a key that is in"),
        ("visible", "--user", "", "--user: '' is no bigint"),
    ],
)
def test_what_can_be_no_key_is_told_by_its_option(
    runner: CliRunner, command: str, option: str, given: str, told: str
) -> None:
    asked = {"--tenant": "1", "--entity": "lead", "--user": "1", "--record": "1", option: given}
    if command == "who":
        del asked["--user"]
    if command == "visible":
        del asked["--record"]
    result = runner.invoke(
        app, ["access", command, *(part for pair in asked.items() for part in pair)]
    )
    assert isinstance(result.exception, errors.ParameterError)
    assert exits.of_error(result.exception) == exits.USAGE
    assert told in str(result.exception)
