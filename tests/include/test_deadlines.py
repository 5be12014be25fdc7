"""What is said of a run that misses its deadline."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string

from include import deadlines

ALERT = deadlines.alert("warm_caches", 30)


def announce(state: str) -> None:
    """What Airflow's triggerer does when the deadline of a run has passed."""
    context: Any = {
        "dag_run": {"dag_id": "warm_caches", "dag_run_id": "scheduled__today", "state": state},
        "deadline": {"id": "1", "deadline_time": "2026-01-01T03:30:00Z"},
    }
    callback = ALERT.callback

    async def call() -> None:
        await import_string(callback.path)(**callback.kwargs, context=context)

    asyncio.run(call())


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_late_run_is_announced(caplog: pytest.LogCaptureFixture, state: str) -> None:
    announce(state)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "warm_caches is late" in record.message
    assert "scheduled__today was not done 30 minutes after it was queued" in record.message


def test_a_run_that_failed_is_not_announced_again(caplog: pytest.LogCaptureFixture) -> None:
    announce("failed")
    assert caplog.records == []


def test_the_deadline_counts_from_when_a_run_was_queued() -> None:
    """A run that was triggered by hand has no other date."""
    assert ALERT.interval == timedelta(minutes=30)
    assert ALERT.reference.reference_name == "DagRunQueuedAtDeadline"
