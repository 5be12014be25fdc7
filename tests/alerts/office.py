"""Runs in the ledger as jobs leave them, the evaluations that follow, and who was told what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from crm_ops.alerts import deliver, evaluate
from crm_ops.alerts.deliver import Delivered, Message
from crm_ops.alerts.evaluate import Evaluated
from crm_ops.alerts.incident import Occasion
from crm_ops.alerts.world import Lag, World
from crm_ops.base import database, errors, sql
from crm_ops.base.results import Done, State
from crm_ops.catalog.alerts import Alerts, Channel
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import ledger
from crm_ops.jobs.work import Request, Work

FACETS: JobName = "precompute_facets"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Post:
    """A channel that keeps what it was given; `down` channels refuse it."""

    sent: list[tuple[str, str, Message]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def __call__(self, channel: Channel, recipient: str, message: Message) -> None:
        if channel.kind in self.down:
            raise errors.NotDelivered(f"{channel.kind} does not answer")
        self.sent.append((channel.kind, recipient, message))

    @property
    def titles(self) -> list[str]:
        return [message.title for _, _, message in self.sent]


@dataclass
class Office:
    """A ledger and its alerts, at a moment that moves on with each step."""

    engine: sa.Engine
    catalog: Catalog
    now: datetime = NOON
    runway_days: int | None = 90
    lags: dict[str, Lag] = field(default_factory=dict)
    unmeasured: bool = False
    runs: int = 0

    def later(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now

    def run(
        self,
        state: State | None = "success",
        *,
        job: JobName = FACETS,
        error: str | None = None,
        details: Mapping[str, Any] | None = None,
        failures: Mapping[str, str] | None = None,
        **asked: Any,
    ) -> str:
        """A run of the scheduler that ended so, or never (None); its id there."""
        self.runs += 1
        name = f"scheduled__{self.runs}"
        request = Request(**asked)
        number = ledger.begin(
            self.engine, job, request, started_by=f"airflow {name}", now=self.later(seconds=1)
        )
        if state is None:
            return name
        done = Done(details=details or {}, failures=failures or {})
        (batch,) = ledger.add(self.engine, job, number, [Work("lead: all", {})], dry_run=False)
        ledger.finish_batch(self.engine, batch, done, error=None, now=self.later(seconds=1))
        ledger.finish(self.engine, number, done, state=state, error=error, now=self.now)
        return name

    def evaluate(self, run: str, *, job: JobName = FACETS, **occasion: Any) -> Evaluated:
        """What the task `report` does at its end, or the scheduler when something is wrong."""
        told = {"event": "reported", "link": f"http://airflow/runs/{run}", **occasion}
        at = self.later(seconds=1)
        return evaluate.evaluate(
            self.engine,
            self.catalog,
            Occasion(job=job, run=run, **cast("Any", told)),
            None if self.unmeasured else World(at, dict(self.lags), self.runway_days),
            at,
        )

    def deliver(self, post: Post) -> Delivered:
        return deliver.deliver(
            self.engine, self.catalog.alerts.channels, post, lambda: self.later(seconds=1)
        )

    def channels(self, *declared: Mapping[str, Any]) -> None:
        alerts = Alerts.model_validate({"channels": list(declared)})
        self.catalog = self.catalog.model_copy(update={"alerts": alerts})

    def rows(self, text: str) -> Sequence[tuple[Any, ...]]:
        with database.transaction(self.engine) as connection:
            return [tuple(row) for row in sql.run(connection, text)]

    @property
    def alerts(self) -> list[tuple[str, str]]:
        """Every incident and its state, in order."""
        found = self.rows("SELECT incident, state FROM crm_ops.alert ORDER BY id")
        return [(incident, state) for incident, state in found]


__all__ = ["FACETS", "NOON", "Office", "Post"]
