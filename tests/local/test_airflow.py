from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crm_ops.base import settings
from crm_ops.local import airflow, credentials, layout
from crm_ops.local.credentials import Credentials
from crm_ops.local.layout import Layout


@pytest.fixture
def project(tmp_path: Path) -> Layout:
    (tmp_path / "airflow_settings.yaml").write_text("airflow: {}\n")
    return layout.make(tmp_path)


@pytest.fixture
def secrets(project: Layout) -> Credentials:
    return credentials.load(project.credentials)


def environment(project: Layout, secrets: Credentials, **inherited: str) -> dict[str, str]:
    return airflow.environment(
        project,
        secrets,
        inherited=inherited,
        database_url="postgresql://postgres:secret@127.0.0.1:5433/airflow",
        connections={settings.AIRFLOW_POSTGRES: "{}"},
        port=8081,
    )


def test_airflow_finds_the_project_and_its_own_home(project: Layout, secrets: Credentials) -> None:
    made = environment(project, secrets)
    assert made["AIRFLOW_HOME"] == str(project.airflow)
    assert made["AIRFLOW__CORE__DAGS_FOLDER"] == str(project.root / "dags")
    assert made["AIRFLOW__CORE__PLUGINS_FOLDER"] == str(project.root / "plugins")
    assert made["PYTHONPATH"] == str(project.root)


def test_everyone_is_sent_to_the_chosen_port(project: Layout, secrets: Credentials) -> None:
    made = environment(project, secrets)
    assert made["AIRFLOW__API__PORT"] == "8081"
    assert made["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8081"
    assert made["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8081/execution/"


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW_CONN_OTHER",
        "AIRFLOW_HOME",
        "CRM_OPS_DATABASE_URL",
        "CRM_OPS_REDIS_URL",
        "PYTHONHOME",
    ],
)
def test_what_is_about_another_airflow_or_python_does_not_come_in(
    project: Layout, secrets: Credentials, name: str
) -> None:
    assert environment(project, secrets, **{name: "foreign"}).get(name) != "foreign"


def test_compiled_files_are_used(project: Layout, secrets: Credentials) -> None:
    assert "PYTHONDONTWRITEBYTECODE" not in environment(
        project, secrets, PYTHONDONTWRITEBYTECODE="1"
    )


def test_the_rest_is_inherited(project: Layout, secrets: Credentials) -> None:
    made = environment(project, secrets, LANG="C", PATH="/bin", CRM_OPS_CATALOG="/a/catalog.yaml")
    assert (made["LANG"], made["CRM_OPS_CATALOG"]) == ("C", "/a/catalog.yaml")
    assert made["PATH"].endswith(":/bin")
    assert "CRM_OPS_CATALOG" not in environment(project, secrets)


@pytest.mark.parametrize("given", ["no_proxy", "NO_PROXY"])
def test_no_proxy_stands_between(project: Layout, secrets: Credentials, given: str) -> None:
    made = environment(project, secrets, http_proxy="http://proxy", **{given: "intern"})
    assert made["no_proxy"] == made["NO_PROXY"] == "intern,127.0.0.1"


def test_the_logins_are_kept_for_airflow_alone(project: Layout, secrets: Credentials) -> None:
    airflow.write_logins(project, secrets)
    file = Path(environment(project, secrets)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {
        "admin": secrets.airflow_admin,
        "viewer": secrets.airflow_viewer,
    }


def test_four_programs_stay_and_no_command_line_holds_a_secret(
    project: Layout, secrets: Credentials
) -> None:
    made = environment(project, secrets)
    programs = airflow.programs(project, made)
    staying = [name for name, program in programs.items() if not program.finishes]
    assert staying == ["api-server", "scheduler", "dag-processor", "triggerer"]
    words = " ".join(word for program in programs.values() for word in program.command)
    assert "secret" not in words
    assert secrets.airflow_admin not in words
    assert all(program.command[0] == sys.executable for program in programs.values())


def test_a_changed_settings_file_is_seen(project: Layout) -> None:
    before = airflow.fingerprint(project)
    assert airflow.fingerprint(project) == before
    (project.root / "airflow_settings.yaml").write_text("airflow: {pools: []}\n")
    assert airflow.fingerprint(project) != before
