"""What people are told of a run that is late or failed, as Airflow's processes call for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk.module_loading import import_string

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.jobs import ledger
from crm_ops.jobs.work import Request
from crm_ops.local import ports
from include import deadlines, notifier
from tests import sinks

Connect = Callable[[str, dict[str, object]], None]
ALERT = deadlines.alert("warm_caches", "warm_caches", 30)
RUN = "scheduled__today"


@pytest.fixture
def mail(connect: Connect) -> Iterator[sinks.Mail]:
    with sinks.mail() as sink:
        connect("smtp_default", sink.connection)
        yield sink


@pytest.fixture(autouse=True)
def told(catalog_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's catalog, with somebody to tell."""
    text = catalog_file.read_text(encoding="utf-8")
    text = text.replace("minimum_runway_days: 45", "minimum_runway_days: 0")
    channel = "\nalerts:\n  channels: [{kind: email, to: [ann@example.com]}]\n"
    catalog_file.write_text(text + channel, encoding="utf-8")
    monkeypatch.setenv("CRM_OPS_CATALOG", str(catalog_file))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/crm/")


@pytest.fixture
def database(demo: sa.Engine) -> sa.Engine:
    """The demo CRM, where Airflow's connection leads to."""
    return demo


@pytest.fixture
def crm(demo: sa.Engine, connected: None, mail: sinks.Mail) -> sa.Engine:
    """The demo CRM, that Airflow's connection leads to."""
    return demo


def late(state: str = "running") -> None:
    """What Airflow's triggerer does when the deadline of a run has passed."""
    context: Any = {
        "dag_run": {"dag_id": "warm_caches", "dag_run_id": RUN, "state": state},
        "deadline": {"id": "1", "deadline_time": "2026-01-01T03:30:00Z"},
    }
    callback = ALERT.callback

    async def call() -> None:
        await import_string(callback.path)(**callback.kwargs, context=context)

    asyncio.run(call())


def failed(reason: str = "task_failure") -> None:
    """What Airflow's DAG processor does when a run has failed."""
    notifier.Announce("warm_caches", "failed")({"run_id": RUN, "reason": reason})


def begun(engine: sa.Engine) -> int:
    return ledger.begin(
        engine, "warm_caches", Request(), started_by=f"airflow {RUN}", now=datetime.now(UTC)
    )


def test_a_late_run_is_announced_once(crm: sa.Engine, mail: sinks.Mail) -> None:
    late("queued")
    late("running")
    (got,) = mail.taken
    assert got["Subject"] == "[CRM Ops] warm_caches is late"
    body = got.get_body(("html",))
    assert body is not None
    said = body.get_content()
    assert "Since: 2026-01-01 03:30:00 UTC" in said
    assert "Run: https://airflow.example.com/crm/dags/warm_caches/runs/scheduled__today" in said


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_run_that_has_ended_is_not_announced_as_late(
    crm: sa.Engine, mail: sinks.Mail, state: str
) -> None:
    late(state)
    assert mail.taken == []


def test_a_failed_run_is_announced_once(crm: sa.Engine, mail: sinks.Mail) -> None:
    begun(crm)
    failed("timed_out")
    failed("timed_out")
    late("failed")
    assert mail.subjects == ["[CRM Ops] warm_caches failed"]


def test_a_channel_that_is_down_is_recorded_and_logged_and_stops_nothing(
    crm: sa.Engine, mail: sinks.Mail, caplog: pytest.LogCaptureFixture
) -> None:
    mail.refusing = True
    failed()
    with databases.transaction(crm) as connection:
        statement = "SELECT state, attempts, last_error FROM crm_ops.alert_delivery"
        state, attempts, error = sql.run(connection, statement).one()
    assert (state, attempts) == ("pending", 1)
    assert "come back later" in error
    assert "did not reach ann@example.com" in caplog.text


class TestWithoutADatabase:
    """What cannot be recorded is told all the same, once an hour."""

    @pytest.fixture(autouse=True)
    def away(
        self, connected: None, connect: Connect, postgres_connection: dict[str, object]
    ) -> None:
        connect("crm_postgres", {**postgres_connection, "port": ports.any_free()})

    def test_people_are_told_once(self, mail: sinks.Mail) -> None:
        failed()
        failed()
        assert mail.subjects == ["[CRM Ops] warm_caches failed"]
        body = mail.taken[0].get_body(("html",))
        assert body is not None
        assert "Not recorded: PostgreSQL at" in body.get_content()

    def test_a_message_that_did_not_arrive_is_said_again(self, mail: sinks.Mail) -> None:
        mail.refusing = True
        failed()
        mail.refusing = False
        failed()
        assert len(mail.taken) == 1

    def test_without_redis_too_they_are_told_every_time(
        self, mail: sinks.Mail, connect: Connect, redis_connection: dict[str, object]
    ) -> None:
        connect("crm_redis", {**redis_connection, "port": ports.any_free()})
        failed()
        failed()
        assert len(mail.taken) == 2


def test_a_wrong_catalog_is_told_of_too(
    connected: None, mail: sinks.Mail, catalog_file: Path
) -> None:
    text = catalog_file.read_text(encoding="utf-8")
    catalog_file.write_text(text.replace("time_zone: UTC", "time_zone: Nowhere"), encoding="utf-8")
    failed()
    body = mail.taken[0].get_body(("html",))
    assert body is not None
    assert "the catalog has 1 problem" in body.get_content()


def test_the_deadline_counts_from_when_a_run_was_queued() -> None:
    """A run that was triggered by hand has no other date."""
    assert ALERT.interval == timedelta(minutes=30)
    assert ALERT.reference.reference_name == "DagRunQueuedAtDeadline"
