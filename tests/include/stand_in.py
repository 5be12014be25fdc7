"""A job that does what a test says, in place of the facets'."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from crm_ops.base import store
from crm_ops.base.results import Done
from crm_ops.jobs.work import Request, Tools, Work


@dataclass
class StandIn:
    """Two batches of two tenants with ten rows each; `failures` by batch, `asked` by a run."""

    failures: dict[int, Mapping[str, str]] = field(default_factory=dict)
    asked: Request | None = None

    def plan(self, request: Request, tools: Tools) -> list[Work]:
        store.check(tools.redis)
        self.asked = request
        return [Work(f"lead: batch {number}", {"number": number}) for number in (1, 2)]

    def do(self, arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
        number = arguments["number"]
        return Done(
            rows_seen=10,
            figures_written=0 if dry_run else 3,
            tenants=2,
            failures=self.failures.get(number, {}),
            details={f"batch.{number}": 1},
        )

    def conclude(self, done: Done, request: Request, tools: Tools) -> str | None:
        return None


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """What runs as the job `precompute_facets`."""
    made = StandIn()
    monkeypatch.setitem(sys.modules, "crm_ops.jobs.facets", made)
    return made
