"""Reading `airflow_settings.yaml`: the project's own, and wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crm_ops.base import errors
from crm_ops.catalog import load
from include import connections, settings_file
from tests.dags.airflow_home import ROOT

OURS = ROOT / "airflow_settings.yaml"


def refused(tmp_path: Path, text: str) -> str:
    """What is said of a file with this text."""
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(errors.SettingsError) as caught:
        settings_file.read(path)
    return str(caught.value).replace(str(path), "FILE")


def test_our_file_has_the_connections_and_pools_of_the_jobs() -> None:
    ours = settings_file.read(OURS)
    assert [each.conn_id for each in ours.connections or ()] == [
        connections.POSTGRES,
        connections.REDIS,
    ]
    pools = {each.pool_name: each.pool_slot for each in ours.pools or ()}
    assert pools == {"workflow_io": 20, "workflow_cpu": 4, "workflow_default": 10}
    timing = load.jobs(ROOT / "include" / "crm_ops.yaml")
    assert {job.pool for job in dict(timing).values()} <= set(pools)


def test_our_file_holds_no_secret() -> None:
    for each in settings_file.read(OURS).connections or ():
        assert each.conn_password is None
        assert each.conn_uri is None


def test_our_file_means_the_same_to_astro() -> None:
    """Its CLI reads YAML 1.1 and writes the keys of an extra in small letters."""
    ours = settings_file.read(OURS)
    assert (
        settings_file.Settings.model_validate(yaml.safe_load(OURS.read_text())["airflow"]) == ours
    )
    for each in ours.connections or ():
        assert all(key == key.lower() for key in each.conn_extra or {})


ASTROS_TEMPLATE = """
airflow:
  connections:
    - conn_id:
      conn_type:
      conn_host:
      conn_schema:
      conn_login:
      conn_password:
      conn_port:
      conn_extra:
        example_extra_field: example-value
  pools:
    - pool_name:
      pool_slot:
      pool_description:
  variables:
    - variable_name:
      variable_value:
"""


def test_the_empty_entries_of_astros_template_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(ASTROS_TEMPLATE)
    read = settings_file.read(path)
    assert (read.connections, read.pools, read.variables) == ([], [], [])


def test_all_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "airflow:\n"
        "  connections:\n"
        "    - conn_id: a\n"
        "      conn_typ: postgres\n"
        "  pools:\n"
        "    - pool_name: b\n"
        "      pool_slot: four\n"
        "  variables:\n"
        "    - variable_value: c\n",
    )
    assert said == (
        "FILE is wrong, nothing was applied:\n"
        "  FILE:4: airflow.connections.0.conn_typ: is no key here; see Astro's"
        " airflow_settings.yaml for the keys\n"
        "  FILE:7: airflow.pools.0.pool_slot: must be a whole number, without quotes\n"
        "  FILE:9: airflow.variables.0: variable_name is missing; say what the entry is called"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{conn_type: redis}", "conn_id is missing"),
        ("{conn_id: a, conn_host: b}", "conn_type is missing"),
        ("{conn_id: a, conn_type: redis, conn_port: '1'}", "conn_port: must be a whole number"),
        ("{conn_id: a b, conn_type: redis}", "conn_id: must be letters"),
        ("{conn_id: a, conn_uri: 'redis://b', conn_host: b}", "conn_uri or the other fields"),
        ("{conn_id: a, conn_type: redis, conn_extra: '{'}", "conn_extra: is no JSON"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_connection_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    assert message in refused(tmp_path, f"airflow: {{connections: [{entry}]}}")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{pool_slot: 1}", "pool_name is missing"),
        ("{pool_name: a}", "pool_slot is missing or 0"),
        ("{pool_name: a, pool_slot: 0}", "pool_slot is missing or 0"),
        ("{pool_name: a, pool_slot: 1.5}", "pool_slot: must be a whole number"),
    ],
)
def test_a_pool_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    assert message in refused(tmp_path, f"airflow: {{pools: [{entry}]}}")


@pytest.mark.parametrize("text", ["", "[]", "airflow:", "airflow: {pools: {}}", "airflow: {: ["])
def test_what_is_no_settings_file_is_refused(tmp_path: Path, text: str) -> None:
    assert "FILE:1: " in refused(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match=r"none\.yaml cannot be read"):
        settings_file.read(tmp_path / "none.yaml")


def test_no_message_shows_a_value(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "airflow: {connections: [{conn_id: a, conn_type: b, conn_password: 712345}],"
        " variables: [{variable_name: c, variable_value: 712345}]}",
    )
    assert "conn_password: must be text" in said
    assert "variable_value: must be text" in said
    assert "712345" not in said
