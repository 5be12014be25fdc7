"""What a task works with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crm_ops.base import database, errors, sql, store
from include import tools
from tests.dags.airflow_home import ROOT

OURS = ROOT / "include" / "crm_ops.yaml"


def test_the_environment_names_the_catalog_and_holds_the_key(
    connected: None, tmp_path: Path
) -> None:
    catalog = tmp_path / "crm_ops.yaml"
    catalog.write_text(OURS.read_text().replace("time_zone: UTC", "time_zone: Europe/Paris"))
    given = {**os.environ, "CRM_OPS_CATALOG": str(catalog), "CRM_OPS_SIGNING_KEY": "its-secret"}
    with tools.opened(given) as opened:
        assert opened.catalog.time_zone == "Europe/Paris"
        assert opened.signing_key == b"its-secret"
        assert "its-secret" not in repr(opened)
        assert opened.clock().utcoffset() is not None


def test_without_one_in_the_environment_the_key_is_airflows_variable(
    connected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {key: value for key, value in os.environ.items() if "SIGNING" not in key}
    with tools.opened(environment) as opened:
        assert opened.signing_key is None
    monkeypatch.setenv(f"AIRFLOW_VAR_{tools.SIGNING_VARIABLE.upper()}", "airflows-secret")
    with tools.opened(environment) as opened:
        assert opened.signing_key == b"airflows-secret"
        assert "airflows-secret" not in repr(opened)


def test_postgres_and_redis_answer_and_are_closed_at_the_end(connected: None) -> None:
    with tools.opened(os.environ) as opened:
        store.check(opened.redis)
        with database.transaction(opened.engine) as connection:
            limit = sql.run(connection, "SHOW statement_timeout").scalar_one()
        seconds = opened.catalog.limits.statement_timeout_seconds
        assert limit in (f"{seconds}s", f"{seconds // 60}min")
        assert opened.engine.pool.checkedin() == 1
    assert opened.engine.pool.checkedin() == 0


def test_a_wrong_catalog_is_refused(connected: None, tmp_path: Path) -> None:
    with (
        pytest.raises(errors.CatalogError, match="no such file"),
        tools.opened({"CRM_OPS_CATALOG": str(tmp_path / "none.yaml")}),
    ):
        pass
