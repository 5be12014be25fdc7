from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, names
from crm_ops.base.store import Client
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.jobs import proof, run, status
from crm_ops.jobs.work import Request, Tools
from crm_ops.publish import codec
from tests.fold import shop
from tests.fold.capturing import apply
from tests.fold.capturing import run as execute
from tests.fold.shop import Order


@pytest.fixture
def tools(migrated: sa.Engine, store: Client) -> Tools:
    shop.build(migrated)
    # Without bitmaps: what is published is counts and figures.
    loaded = Loaded(shop.catalog(limits={}), Document("shop.yaml", {}, {}))
    return Tools(loaded, migrated, store, lambda: datetime.now(UTC))


def put(tools: Tools, *orders: Order) -> None:
    with database.transaction(tools.engine) as connection:
        shop.put(connection, orders)


def refresh(tools: Tools, job: str = "precompute_facets", **request: object) -> dict[str, object]:
    done = run.run(job, Request(**request), tools, started_by="a test")  # type: ignore[arg-type]
    assert done.state == "success", done.error
    return dict(done.details)


def served(tools: Tools, tenant: str) -> codec.FacetCounts:
    value = tools.redis.get(names.facets_key("order", tenant))
    found = codec.facet_counts(value, "order", tenant)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_run_publishes_the_tenants_that_changed_and_a_moment_for_all(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    put(tools, Order(1, 1), Order(2, 2))
    refresh(tools)
    before = served(tools, "2")
    put(tools, Order(3, 1))

    done = refresh(tools)

    assert (done["changes"], done["published_values"]) == (1, 1)
    assert served(tools, "1").total == 2
    assert served(tools, "2") == before
    moment = codec.moment(tools.redis.get(names.moment_key("facets", "order")), "facets", "order")  # type: ignore[arg-type]
    assert moment is not None
    assert moment.as_of > before.as_of


@pytest.mark.parametrize("harm", ["emptied", "another release's"])
def test_a_redis_without_usable_values_is_given_everything(tools: Tools, harm: str) -> None:
    apply(tools.engine, tools.catalog)
    put(tools, Order(1, 1), Order(2, 2))
    refresh(tools)
    assert refresh(tools)["published_values"] == 0
    for key in tools.redis.keys("crmops:*"):  # type: ignore[union-attr]
        if harm == "emptied":
            tools.redis.delete(key)
        else:
            value = tools.redis.get(key)
            tools.redis.set(key, value.replace(b'"format":', b'"format":9'))  # type: ignore[union-attr]

    assert refresh(tools)["published_values"] == 4
    assert served(tools, "1").total == 1


def test_a_new_signing_key_has_everything_published_again(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    put(tools, Order(1, 1), Order(2, 2))
    refresh(tools)
    keyed = replace(tools, signing_key=b"k" * 32)

    assert refresh(keyed)["published_values"] == 4
    assert refresh(keyed)["published_values"] == 0
    assert served(keyed, "1").total == 1


def test_what_one_job_folded_the_other_publishes(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    refresh(tools)
    put(tools, Order(1, 1))
    refresh(tools, "precompute_aggregates")

    done = refresh(tools)

    assert done["changes"] == 0
    assert served(tools, "1").total == 1


def test_incremental_refuses_where_it_would_not_be_exact(tools: Tools) -> None:
    with pytest.raises(errors.ParameterError, match="not captured"):
        refresh(tools, mode="incremental")
    apply(tools.engine, tools.catalog)
    with pytest.raises(errors.ParameterError, match="was not captured for a while"):
        refresh(tools, mode="incremental")
    refresh(tools)

    assert refresh(tools, mode="incremental")["changes"] == 0


def test_a_tenant_that_left_is_forgotten_everywhere(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    put(tools, Order(1, 1), Order(2, 2))
    refresh(tools)
    execute(tools.engine, "DELETE FROM shop.company WHERE id = 2")

    refresh(tools)

    assert tools.redis.get(names.facets_key("order", "2")) is None
    assert {tenant for tenant, *_ in shop.stored_facet_counts(tools.engine)} == {"1"}


def test_drift_in_redis_is_found_and_repaired(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    put(tools, Order(1, 1, state="new"))
    refresh(tools)
    key = names.facets_key("order", "1")
    value = tools.redis.get(key)
    tools.redis.set(key, value.replace(b'"total":1', b'"total":8'))  # type: ignore[union-attr]

    found = proof.prove(Request(), tools, repair=True)[0]

    assert [(cell.place, cell.served, cell.counted) for cell in found.differences] == [
        ("redis", "8", "1")
    ]
    assert proof.prove(Request(), tools)[0].differences == ()


def test_the_status_tells_what_waits_and_since_when(tools: Tools) -> None:
    apply(tools.engine, tools.catalog)
    refresh(tools)
    put(tools, Order(1, 1))

    waiting = status.read(tools).capture[0]
    refresh(tools)
    proof.prove(Request(), tools)
    after = status.read(tools, ["1"])

    assert (waiting.backlog, waiting.problem) == (1, None)
    assert waiting.oldest_change is not None
    assert after.capture[0].backlog == 0
    assert all(each.proved_at and each.as_of > waiting.oldest_change for each in after.freshness)


def test_the_first_refresh_after_capture_tells_each_tenant_once(tools: Tools) -> None:
    put(tools, Order(1, 1), Order(2, 2))
    refresh(tools)
    apply(tools.engine, tools.catalog)

    planned = run.plan("precompute_facets", Request(), tools, started_by="a test")

    asked = [tenant for batch in planned.batches for tenant in batch.arguments["tenants"]]
    assert sorted(asked) == ["1", "2", "3", shop.NOBODY]
