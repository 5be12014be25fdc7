"""Of each tenant and entity it is known what waits, and as of when its figures are exact."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.base.store import Client
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.jobs import freshness, proof, run, status
from crm_ops.jobs.freshness import TenantFreshness
from crm_ops.jobs.work import Request, Tools
from tests.fold import shop
from tests.fold.capturing import apply
from tests.fold.capturing import run as execute
from tests.fold.shop import Order


@pytest.fixture
def tools(migrated: sa.Engine, store: Client) -> Tools:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    loaded = Loaded(shop.catalog(), Document("shop.yaml", {}, {}))
    return Tools(loaded, migrated, store, lambda: datetime.now(UTC))


def refresh(tools: Tools) -> None:
    done = run.run("precompute_facets", Request(), tools, started_by="a test")
    assert done.state == "success", done.error


def by_tenant(tools: Tools, *tenants: str) -> dict[str, TenantFreshness]:
    return {each.tenant: each for each in freshness.read(tools, tenants)}


def put(tools: Tools, *orders: Order) -> datetime:
    with database.transaction(tools.engine) as connection:
        shop.put(connection, orders)
        moment = sql.run(connection, "SELECT clock_timestamp()").scalar_one()
    assert isinstance(moment, datetime)
    return moment


def test_what_waits_is_known_of_each_tenant(tools: Tools) -> None:
    assert by_tenant(tools) == {}
    refresh(tools)
    before = datetime.now(UTC)
    first = put(tools, Order(1, 1), Order(2, None))
    put(tools, Order(3, 2, tags=("hot", "cold")), Order(4, 1))

    found = by_tenant(tools)

    assert {tenant: each.backlog for tenant, each in found.items()} == {
        "1": 2, "2": 3, "3": 0, shop.NOBODY: 1,
    }  # fmt: skip
    assert before <= (found["1"].oldest_change or before) <= first < (
        found["2"].oldest_change or first
    )  # fmt: skip
    assert (found["3"].oldest_change, found["3"].proved_at) == (None, None)
    assert all(each.as_of and each.as_of < before for each in found.values())
    assert list(by_tenant(tools, "2")) == ["2"]

    refresh(tools)
    proof.prove(Request(tenants=("1",)), tools)
    after = by_tenant(tools)

    assert {each.backlog for each in after.values()} == {0}
    assert all(each.as_of and each.as_of > first for each in after.values())
    assert {tenant for tenant, each in after.items() if each.proved_at} == {"1"}


def test_a_tenant_that_must_be_counted_anew_is_as_old_as_it_is(tools: Tools) -> None:
    refresh(tools)
    execute(
        tools.engine,
        "UPDATE crm_ops.refresh SET captured = false, as_of = '2026-01-01' WHERE tenant = '2'",
    )
    refresh_of = by_tenant(tools)

    assert refresh_of["2"].as_of == datetime(2026, 1, 1, tzinfo=UTC)
    assert refresh_of["1"].as_of != refresh_of["2"].as_of


def test_beside_writers_status_is_never_ahead_of_what_is_applied(tools: Tools) -> None:
    """What waits is never older than the figures' moment; figures follow the writer."""
    refresh(tools)
    done = threading.Event()

    def write() -> None:
        at = 0
        while not done.is_set():
            at += 1
            put(tools, Order(at, 1 + at % 3))

    writer = threading.Thread(target=write)
    writer.start()
    moments = []
    for _ in range(5):
        refresh(tools)
        for each in freshness.read(tools):
            assert each.as_of is not None
            # A change is dated by its statement, and seen once its transaction has ended.
            assert each.oldest_change is None or each.oldest_change > each.as_of - timedelta(
                seconds=1
            )
            moments.append(each.as_of)
        whole = status.read(tools).capture[0]
        assert (whole.problem, whole.backlog > -1) == (None, True)
    done.set()
    writer.join()

    assert moments == sorted(moments)
    assert moments[0] < moments[-1]


def test_ten_thousand_tenants_are_told_in_no_time(tools: Tools) -> None:
    refresh(tools)
    execute(
        tools.engine,
        "INSERT INTO crm_ops.refresh (kind, entity, tenant, version, as_of, counted)"
        " SELECT kind, 'order', i::text, 1, now(), 0"
        " FROM unnest('{facets,aggregates}'::text[]) AS kind, generate_series(4, 10000) AS i",
    )
    execute(
        tools.engine,
        'INSERT INTO shop."order lines" (id, company_id)'
        " SELECT i, i FROM generate_series(1, 10000) AS i",
    )

    started = time.monotonic()
    found = freshness.read(tools)
    took = time.monotonic() - started

    assert len(found) == 10_001
    assert sum(each.backlog for each in found) == 10_000
    assert took < 20, "a query for each tenant?"
