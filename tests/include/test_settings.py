"""Applying settings to real metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from airflow.models.connection import Connection
from airflow.models.pool import Pool
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy.orm import Session

from include import settings
from tests.dags.airflow_home import ROOT

FIRST = """
airflow:
  connections:
    - {conn_id: crm, conn_type: postgres, conn_host: north, conn_port: 5433, conn_extra: {a: 1}}
    - {conn_id: by_uri, conn_uri: "redis://:its-secret@there:6380/0?db=2"}
  pools:
    - {pool_name: small, pool_slot: 2, pool_description: A few}
  variables:
    - {variable_name: colour, variable_value: its-secret}
"""


@pytest.fixture
def session(metadata: None) -> Iterator[Session]:
    """Airflow's metadata, without what this test puts there."""
    with create_session() as opened:
        for table in (Connection, Variable):
            opened.execute(sa.delete(table))
        opened.execute(sa.delete(Pool).where(Pool.pool != Pool.DEFAULT_POOL_NAME))
        opened.commit()
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(FIRST)
    return path


def apply(file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The words of the command, a line each."""
    assert settings.main(["apply", str(file)]) == 0
    written = capsys.readouterr()
    assert "its-secret" not in written.out + written.err
    return [" ".join(line.split()) for line in written.out.splitlines()]


def connection(session: Session, name: str) -> Connection:
    session.expire_all()
    return session.scalars(sa.select(Connection).filter_by(conn_id=name)).one()


def test_applying_twice_changes_nothing(
    session: Session, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    things = ["pool small", "variable colour", "connection crm", "connection by_uri"]
    assert apply(file, capsys) == [f"created {thing}" for thing in things]
    assert apply(file, capsys) == [f"unchanged {thing}" for thing in things]

    crm = connection(session, "crm")
    assert (crm.conn_type, crm.host, crm.port, crm.extra_dejson) == (
        "postgres",
        "north",
        5433,
        {"a": 1},
    )
    by_uri = connection(session, "by_uri")
    assert (by_uri.conn_type, by_uri.host, by_uri.password) == ("redis", "there", "its-secret")
    assert Variable.get("colour") == "its-secret"
    pool = session.scalars(sa.select(Pool).filter_by(pool="small")).one()
    assert (pool.slots, pool.description, pool.include_deferred) == (2, "A few", False)


def test_only_what_differs_is_updated(
    session: Session, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(file, capsys)
    file.write_text(FIRST.replace("north", "south").replace("pool_slot: 2", "pool_slot: 3"))
    assert apply(file, capsys) == [
        "updated pool small",
        "unchanged variable colour",
        "updated connection crm",
        "unchanged connection by_uri",
    ]
    assert connection(session, "crm").host == "south"


def test_what_the_file_does_not_say_is_kept(
    session: Session, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password or an extra that was given in Airflow survives, and so does a description."""
    apply(file, capsys)
    crm = connection(session, "crm")
    crm.password, crm.extra = "its-secret", '{"a": 1, "sslmode": "require"}'
    pool = session.scalars(sa.select(Pool).filter_by(pool="small")).one()
    pool.include_deferred = True
    session.commit()
    file.write_text(FIRST.replace("pool_description: A few", "pool_description: ''"))
    assert "unchanged connection crm" in apply(file, capsys)
    crm = connection(session, "crm")
    assert crm.password == "its-secret"
    assert crm.extra_dejson == {"a": 1, "sslmode": "require"}
    pool = session.scalars(sa.select(Pool).filter_by(pool="small")).one()
    assert (pool.description, pool.include_deferred) == ("A few", True)


def test_our_file_is_applied(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    lines = apply(ROOT / "airflow_settings.yaml", capsys)
    assert len(lines) == 5
    assert all(line.startswith("created ") for line in lines)
    assert connection(session, "crm_postgres").extra_dejson["connect_timeout"] == 5


def test_a_wrong_file_changes_nothing(
    session: Session, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FIRST.replace("pool_slot: 2", "pool_slot: two"))
    assert settings.main(["apply", str(file)]) == 1
    assert "pool_slot: must be a whole number" in capsys.readouterr().err
    assert session.scalars(sa.select(Connection)).all() == []


def test_metadata_that_cannot_be_written_are_told_without_the_values(
    session: Session,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("INSERT ...", {"val": "its-secret"}, Exception("disk full"))

    monkeypatch.setattr(settings, "apply", fail)
    assert settings.main(["apply", str(file)]) == 1
    written = capsys.readouterr().err
    assert "disk full" in written
    assert "airflow db migrate" in written
    assert "its-secret" not in written


def test_the_command_needs_to_be_told_what_to_do() -> None:
    with pytest.raises(SystemExit, match="2"):
        settings.main([])
