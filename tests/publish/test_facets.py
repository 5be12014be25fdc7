"""Redis serves what the tables hold: in the order of display, labelled, cut to the top."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import names, sql
from crm_ops.base import store as stores
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import rebuild
from crm_ops.publish import codec, facets
from crm_ops.publish.codec import Bucket, Facet
from crm_ops.publish.writer import Written
from tests.fold import shop
from tests.fold.shop import Order

EVERYBODY = [*shop.TENANTS, shop.NOBODY]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    return migrated


def count(engine: sa.Engine, tenants: list[str] = EVERYBODY) -> None:
    rebuild.facet_counts(engine, shop.counted(), tenants)


def publish(engine: sa.Engine, store: stores.Client, of: Catalog | None = None) -> Written:
    entity = (of or shop.catalog()).entities["order"]
    return facets.publish(engine, store, "order", entity, EVERYBODY, now=datetime.now(UTC))


def served(store: stores.Client, tenant: str = "1") -> codec.FacetCounts | None:
    return codec.facet_counts(store.get(names.facets_key("order", tenant)), "order", tenant)


def catalog(facet: str, **changed: object) -> Catalog:
    """The shop's catalog with one of its facets shown another way."""
    whole = shop.catalog().model_dump(by_alias=True)
    whole["entities"]["order"]["facets"][facet] |= changed
    return Catalog.model_validate(whole)


def execute(engine: sa.Engine, *statements: str) -> None:
    with databases.transaction(engine) as connection:
        for statement in statements:
            sql.run(connection, statement)


def test_each_tenant_has_one_value_that_equals_the_tables(
    engine: sa.Engine, store: stores.Client
) -> None:
    orders = [
        Order(1, 1, "new", Decimal(30), 5, tags=("hot", "old")),
        Order(2, 1, "new", Decimal("62.5"), color="red", tags=("hot",)),
        Order(3, 2, placed=datetime(2026, 1, 31, 20, tzinfo=UTC)),
        Order(4, None, "won"),
        Order(5, 1, deleted=True),
    ]
    shop.fill(engine, orders)
    count(engine)

    written = publish(engine, store)

    assert written.values == len(EVERYBODY) == store.dbsize()
    assert written.bytes == sum(store.strlen(key) for key in store.scan_iter())
    expected = shop.facet_counts(orders)
    for tenant in EVERYBODY:
        found = served(store, tenant)
        assert found is not None
        assert found.total == expected.get((tenant, "", None), 0)
        shown = {
            (tenant, name, bucket.value): bucket.n
            for name, facet in found.facets.items()
            for bucket in facet.buckets
        }
        wanted = {key: n for key, n in expected.items() if key[0] == tenant and key[1]}
        assert shown == wanted


def test_a_value_tells_as_of_when_it_is_exact(engine: sa.Engine, store: stores.Client) -> None:
    count(engine)
    publish(engine, store)

    found = served(store)
    assert found is not None
    with databases.transaction(engine) as connection:
        row = sql.run(
            connection, "SELECT version, as_of FROM crm_ops.refresh WHERE tenant = '1'"
        ).one()
    assert (found.version, found.as_of) == tuple(row)


def test_a_tenant_that_was_never_counted_is_left_out(
    engine: sa.Engine, store: stores.Client
) -> None:
    count(engine, ["1", "2"])

    assert publish(engine, store).values == 2
    assert served(store, "3") is None


def test_a_tenant_without_rows_has_a_value_that_says_so(
    engine: sa.Engine, store: stores.Client
) -> None:
    count(engine)
    publish(engine, store)

    found = served(store)
    assert found is not None
    assert found.total == 0
    assert set(found.facets) == set(shop.catalog().entities["order"].facets)
    assert all(facet == Facet([]) for facet in found.facets.values())


class TestOrder:
    def buckets(self, store: stores.Client, facet: str) -> list[str | None]:
        found = served(store)
        assert found is not None
        return [bucket.value for bucket in found.facets[facet].buckets]

    @pytest.fixture
    def filled(self, engine: sa.Engine) -> sa.Engine:
        states = ["b", "b", "c", "a", None, None, None]
        sizes = ["130", "130", "-1", "62.5", "25", None, None]
        shop.fill(
            engine,
            [
                Order(at, state=state, size=None if size is None else Decimal(size))
                for at, (state, size) in enumerate(zip(states, sizes, strict=True))
            ],
        )
        count(engine)
        return engine

    def test_by_count_then_by_value_and_no_value_last(
        self, filled: sa.Engine, store: stores.Client
    ) -> None:
        publish(filled, store)
        assert self.buckets(store, "state") == ["b", "a", "c", None]
        assert self.buckets(store, "size") == ["100..", "..0", "25..62.5", "62.5..100", None]

    def test_by_value_where_the_catalog_says_so(
        self, filled: sa.Engine, store: stores.Client
    ) -> None:
        publish(filled, store, catalog("state", order="bucket"))
        assert self.buckets(store, "state") == ["a", "b", "c", None]

    def test_ranges_by_where_they_lie_not_by_their_names(
        self, filled: sa.Engine, store: stores.Client
    ) -> None:
        publish(filled, store, catalog("size", order="bucket"))
        assert self.buckets(store, "size") == ["..0", "25..62.5", "62.5..100", "100..", None]

    def test_what_is_not_among_the_top_is_counted_together(
        self, filled: sa.Engine, store: stores.Client
    ) -> None:
        publish(filled, store, catalog("state", top=2))
        found = served(store)
        assert found is not None
        assert found.facets["state"] == Facet([Bucket("b", 2), Bucket("a", 1)], other=4)
        assert found.total == 7


def test_a_key_is_shown_by_its_label_while_it_has_one(
    engine: sa.Engine, store: stores.Client
) -> None:
    execute(engine, "INSERT INTO shop.person VALUES (5, 'Ann Ü. \"%%\"'), (6, NULL)")
    shop.fill(engine, [Order(at, person=at) for at in (5, 6, 7)] + [Order(8)])
    count(engine)
    publish(engine, store)

    found = served(store)
    assert found is not None
    assert found.facets["person"].buckets == [
        Bucket("5", 1, 'Ann Ü. "%"'),
        Bucket("6", 1),
        Bucket("7", 1),
        Bucket(None, 1),
    ]


def test_linked_values_are_shown_by_their_labels(engine: sa.Engine, store: stores.Client) -> None:
    execute(
        engine,
        "CREATE TABLE shop.tag (code text PRIMARY KEY, name text)",
        "INSERT INTO shop.tag VALUES ('hot', 'Very hot')",
    )
    shop.fill(engine, [Order(1, tags=("hot", "odd"))])
    count(engine)
    publish(engine, store, catalog("tag", label_table="shop.tag", label_key="code", label="name"))

    found = served(store)
    assert found is not None
    assert found.facets["tag"].buckets == [Bucket("hot", 1, "Very hot"), Bucket("odd", 1)]


def test_a_facet_that_is_no_longer_declared_is_not_served(
    engine: sa.Engine, store: stores.Client
) -> None:
    shop.fill(engine, [Order(1, state="new")])
    count(engine)
    whole = shop.catalog().model_dump(by_alias=True)
    del whole["entities"]["order"]["facets"]["state"]
    del whole["aggregates"]["by_state"]
    del whole["aggregates"]["by_day_and_state"]
    publish(engine, store, Catalog.model_validate(whole))

    found = served(store)
    assert found is not None
    assert "state" not in found.facets


def test_publishers_that_meet_end_with_the_newest_counts(engine: sa.Engine, redis_url: str) -> None:
    def work(first: int) -> None:
        with stores.client(redis_url) as client:
            for at in range(first, first + 8):
                execute(engine, f'INSERT INTO shop."order lines" (id, company_id) VALUES ({at}, 1)')
                count(engine, ["1"])
                publish(engine, client)

    threads = [threading.Thread(target=work, args=(100 * at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with stores.client(redis_url) as client:
        found = served(client)
    assert found is not None
    assert found.total == 32
