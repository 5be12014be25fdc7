"""One trip to PostgreSQL for an answer, and what it is told as."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import sqlalchemy as sa

from crm_ops.base import errors
from crm_ops.read.answers import Step
from crm_ops.read.condition import Condition

REFUSALS = (errors.DatabaseRefused, errors.LogGone, errors.SettingsError)
"""What a statement with bitmaps ends with where tables are not as they were: the rows are counted,
and where more is wrong their count says so."""


class Ask(Protocol):
    """PostgreSQL, as it is asked for an answer."""

    def __call__(
        self,
        statement: str,
        values: Mapping[str, Any],
        /,
        *,
        meanwhile: Callable[[], object] = ...,
    ) -> sa.Row[Any]:
        """The one row of a statement, in one round trip.

        `meanwhile` may be called while PostgreSQL works, or not at all.
        """


def timed(ask: Ask, statement: Condition, what: str, steps: list[Step]) -> sa.Row[Any]:
    """Ask, and note the step."""
    began = time.perf_counter()
    row = ask(statement.text, statement.values)
    steps.append(Step("postgres", what, since(began), statement.text, statement.values))
    return row


def given_up(error: errors.CrmOpsError) -> Step:
    """Bitmaps are given up for one of `REFUSALS`."""
    return Step("postgres", f"refused, bitmaps are given up: {error}", 0.0)


def since(began: float) -> float:
    """Milliseconds since a `time.perf_counter()`."""
    return (time.perf_counter() - began) * 1000


__all__ = ["REFUSALS", "Ask", "given_up", "since", "timed"]
