"""The timing of a job."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from crm_ops.catalog.schedule import Timing


def timing(schedule: str) -> Timing:
    return Timing(schedule=schedule, deadline_minutes=4, timeout_minutes=15, pool="workflow_cpu")


@pytest.mark.parametrize("schedule", ["*/5 * * * *", "0 2 * * mon-fri", "0 0 29 2 *"])
def test_a_schedule_is_five_cron_fields(schedule: str) -> None:
    assert timing(schedule).schedule == schedule


@pytest.mark.parametrize("schedule", ["", "@daily", "* * * *", "* * * * * *", "61 * * * *", "x"])
def test_anything_else_is_refused_with_an_example(schedule: str) -> None:
    with pytest.raises(ValidationError, match=r"write five fields such as \*/5 \* \* \* \*"):
        timing(schedule)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ValidationError, match="names a day that never comes"):
        timing("0 0 30 2 *")
