"""A first build that is killed between or within batches goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from crm_ops.base import database
from crm_ops.base.store import Client
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.fold import recount, verify
from crm_ops.jobs import run
from crm_ops.jobs.work import Plan, Request, Tools
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply
from tests.fold.shop import Order


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.fixture
def tools(migrated: sa.Engine, store: Client) -> Tools:
    shop.build(migrated)
    with database.transaction(migrated) as connection:
        shop.put(connection, [Order(at, 1 + at % 3, tags=("hot",)) for at in range(30)])
    catalog = shop.catalog(limits={"rows_per_batch": 10})
    apply(migrated, catalog)
    return Tools(
        Loaded(catalog, Document("shop.yaml", {}, {})), migrated, store, lambda: datetime.now(UTC)
    )


def planned(tools: Tools) -> Plan:
    return run.plan("precompute_facets", Request(), tools, started_by="a test")


def rebuilds(plan: Plan) -> list[list[str]]:
    work = [batch.arguments for batch in plan.batches]
    return [each["tenants"] for each in work if not each.get("fold")]


def test_after_a_kill_between_batches_only_the_others_are_counted(tools: Tools) -> None:
    plan = planned(tools)
    assert rebuilds(plan) == [["1"], ["2"], ["3", shop.NOBODY]]
    for batch in plan.batches[:3]:
        run.do(batch, tools)

    again = planned(tools)

    assert rebuilds(again) == [["3", shop.NOBODY]]
    for batch in again.batches:
        run.do(batch, tools)
    assert run.report(again.run_id, tools).state == "success"
    found = verify.compare(tools.engine, shop.counted(tools.catalog), EVERYBODY)
    assert (found.differences, len(found.tenants)) == ((), 4)


def test_a_batch_killed_within_leaves_nothing_half_done_and_is_done_again(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tools)
    batch = plan.batches[2]
    assert batch.arguments["tenants"] == ["2"]

    def half(of: Callable[..., recount.Counts]) -> Callable[..., recount.Counts]:
        def count(*args: object, **more: object) -> recount.Counts:
            if args[2] == "aggregates":
                raise Killed
            return of(*args, **more)

        return count

    with monkeypatch.context() as patched:
        patched.setattr(recount, "within", half(recount.within))
        with pytest.raises(Killed):
            run.do(batch, tools)
    assert not [1 for tenant, *_ in shop.stored_facet_counts(tools.engine) if tenant == "2"]

    done = run.do(batch, tools)
    twice = run.do(batch, tools)

    assert done.rows_seen == twice.rows_seen == 10
    assert (done.figures_written > 0, twice.figures_written) == (True, 0)
    assert rebuilds(planned(tools)) == [["1"], ["3", shop.NOBODY]]
