"""An archive in an object store: its credential comes from a connection and is never shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from crm_ops.audit.storage import Storage
from crm_ops.base import errors, settings
from crm_ops.base.archive import Archive
from crm_ops.cli.main import app
from tests.audit import logs
from tests.audit.bucket import SECRET, Bucket
from tests.cli.test_audit import CATALOG

CONNECTION = {
    "conn_type": "generic",
    "login": "crm",
    "password": SECRET,
    "extra": {"endpoint_url": "https://here"},
}


@pytest.fixture
def bucket(
    database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """A log with an expired month of 30 rows; its archive is a bucket that needs a credential."""
    logs.create(database, ["2023-02", "2035-01"])
    logs.add(database, "2023-02-10", 30)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.format(grace=0))
    url = database.url.set(drivername="postgresql")
    monkeypatch.setenv("CRM_OPS_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_OPS_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setenv("CRM_OPS_CATALOG", str(catalog))
    monkeypatch.setenv("CRM_OPS_ARCHIVE", "bucket://audit/of-crm")
    yield monkeypatch
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_month_goes_to_an_object_store_and_comes_back(
    bucket: pytest.MonkeyPatch, database: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.setenv("AIRFLOW_CONN_CRM_ARCHIVE", json.dumps(CONNECTION))
    with caplog.at_level(logging.DEBUG):
        done = typed("run", "--task", "audit_maintenance")
        assert done.exit_code == 0, done.output
        assert not logs.exists(database, "crm.audit_log_p202302")
        sound = json.loads(typed("audit", "verify-archive", "--json").stdout)
        assert (sound["files"], sound["rows"], sound["sound"]) == (1, 30, True)
        back = typed("audit", "restore", "2023-02", "--json")
        assert json.loads(back.stdout)["rows"] == 30
        found = typed("audit", "query", "2023-02", "--json")
        assert len(found.stdout.splitlines()) == 30, (found.output, found.exception)

    written = b"".join(bytes(each.getvalue()) for each in Bucket.store.values())
    links = logs.value(database, "SELECT string_agg(entry, '') FROM crm_ops.audit_link")
    ledger = logs.value(database, "SELECT string_agg(batch::text, '') FROM crm_ops.batch")
    told = (done.output, sound, back.output, found.output, caplog.text, links, ledger, written)
    assert SECRET not in str(told)


def test_without_the_credential_nothing_is_dropped_and_the_error_holds_none(
    bucket: pytest.MonkeyPatch, database: sa.Engine
) -> None:
    wrong = {**CONNECTION, "password": f"not-{SECRET}"}
    bucket.setenv("AIRFLOW_CONN_CRM_ARCHIVE", json.dumps(wrong))

    done = typed("run", "--task", "audit_maintenance")

    assert done.exit_code == 1
    assert "connection crm_archive" in done.output
    assert SECRET not in done.output
    assert logs.value(database, "SELECT count(*) FROM crm.audit_log_p202302") == 30


def test_a_url_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="holds a password") as caught:
        Storage(f"bucket://crm:{SECRET}@audit/of-crm", tmp_path)
    assert SECRET not in str(caught.value)


def test_an_option_that_the_file_system_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.AuditError, match="cannot be used"):
        Storage("github://", tmp_path, {"nonsense": SECRET})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://b/a", {"key": "crm", "secret": SECRET}),
        ("abfs://b/a", {"account_name": "crm", "account_key": SECRET}),
        ("sftp://b/a", {"username": "crm", "password": SECRET}),
        ("/a/folder", {}),
    ],
)
def test_a_credential_has_the_names_that_a_store_knows(url: str, expected: dict[str, str]) -> None:
    assert Archive(None, "crm", SECRET).options(url) == expected


def test_the_settings_never_show_the_credential() -> None:
    given = settings.archive({settings.AIRFLOW_ARCHIVE: json.dumps(CONNECTION)})
    assert given.password == SECRET
    assert SECRET not in repr(given)
