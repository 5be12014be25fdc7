"""Does what a worker of Airflow does: one refresh after the other, until it is killed."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

from crm_ops.base import database, errors, store
from crm_ops.catalog import load
from crm_ops.jobs import run
from crm_ops.jobs.work import Request, Tools

CATALOG = Path(__file__).parents[1] / "include" / "crm_ops.yaml"
_STARTED_BY = "drill"


def forever(database_url: str, redis_url: str, seed: int) -> None:
    """Refresh, now and then count an entity anew; a server that is gone is waited for."""
    chance = random.Random(seed)
    with store.client(redis_url) as redis:
        tools = _tools(database_url, redis)
        while True:
            job = chance.choice(("precompute_facets", "precompute_aggregates"))
            asked = Request()
            if chance.random() < 0.2:
                asked = Request((chance.choice(("lead", "deal")),), mode="full")
            try:
                run.run(job, asked, tools, started_by=_STARTED_BY)
            except errors.CrmOpsError:
                tools.engine.dispose()
                time.sleep(0.2)


def once(database_url: str, redis_url: str) -> None:
    """Both refreshes to their end; raise where one fails."""
    with store.client(redis_url) as redis:
        tools = _tools(database_url, redis)
        for job in ("precompute_facets", "precompute_aggregates"):
            done = run.run(job, Request(), tools, started_by=_STARTED_BY)
            if done.state != "success":
                raise errors.CrmOpsError(f"{job}: {done.state}: {done.error}")
        tools.engine.dispose()


def _tools(database_url: str, redis: store.Client) -> Tools:
    return Tools(
        load.load(CATALOG), database.engine(database_url), redis, lambda: datetime.now(UTC)
    )
