"""Where things are: what the caller gives, then our variables, then Airflow's."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_ops.base import errors, settings

OURS = {
    "CRM_OPS_DATABASE_URL": "postgresql://ours/crm",
    "CRM_OPS_REDIS_URL": "redis://ours/0",
    "CRM_OPS_CATALOG": "/ours.yaml",
    "CRM_OPS_SIGNING_KEY": "s3cret",
}
AIRFLOW = {
    "AIRFLOW_CONN_CRM_POSTGRES": "postgres://airflow/crm",
    "AIRFLOW_CONN_CRM_REDIS": '{"conn_type": "redis", "host": "airflow"}',
}


def places(found: settings.Settings) -> tuple[str | None, str | None, Path]:
    return found.database_url, found.redis_url, found.catalog


def test_what_is_given_wins_over_our_variables_which_win_over_airflow_s() -> None:
    given = settings.read(
        OURS | AIRFLOW,
        database_url="postgresql://given/crm",
        redis_url="redis://given/0",
        catalog=Path("given.yaml"),
    )
    assert places(given) == ("postgresql://given/crm", "redis://given/0", Path("given.yaml"))
    assert places(settings.read(OURS | AIRFLOW)) == (
        "postgresql://ours/crm",
        "redis://ours/0",
        Path("/ours.yaml"),
    )
    airflow = settings.read(AIRFLOW)
    assert airflow.require_database() == "postgresql://airflow/crm"
    assert airflow.require_redis() == "redis://airflow/0"


def test_the_catalog_is_the_project_s_own_unless_named() -> None:
    assert settings.read({}).catalog.is_file()
    assert settings.catalog_path({}).parts[-2:] == ("include", "crm_ops.yaml")


def test_an_empty_variable_is_none() -> None:
    empty = settings.read(dict.fromkeys([*OURS, *AIRFLOW], ""))
    assert (empty.database_url, empty.redis_url, empty.signing_key) == (None, None, None)
    assert empty.catalog.is_file()


def test_the_lower_ranks_are_not_even_read() -> None:
    broken = dict.fromkeys(AIRFLOW, "{")
    assert settings.read(OURS | broken).database_url == "postgresql://ours/crm"


def test_what_is_missing_is_named_with_every_way_to_give_it() -> None:
    nothing = settings.read({})
    with pytest.raises(errors.SettingsError) as database:
        nothing.require_database()
    with pytest.raises(errors.SettingsError) as redis:
        nothing.require_redis()
    for way in ("--database-url", "CRM_OPS_DATABASE_URL", "AIRFLOW_CONN_CRM_POSTGRES"):
        assert way in str(database.value)
    for way in ("--redis-url", "CRM_OPS_REDIS_URL", "AIRFLOW_CONN_CRM_REDIS"):
        assert way in str(redis.value)


def test_no_secret_is_shown() -> None:
    found = settings.read(
        {"CRM_OPS_SIGNING_KEY": "s3cret", "CRM_OPS_REDIS_URL": "redis://:s3cret@r/0"},
        database_url="postgresql://u:s3cret@h/crm",
    )
    assert found.signing_key == b"s3cret"
    assert "s3cret" not in f"{found} {found!r}"
