"""The law: whatever is written, folded, rebuilt and declared at once, what is served is a recount.

Writers of their own connections race each other and the two jobs, folds, rebuilds and changes of
the catalog. After each bout the tables and Redis hold what plain Python counts of the rows; at no
moment does a value in Redis go back to an older one, and no figure ever contradicts another.
LAW_HISTORIES=500 in the environment tries so many histories instead of a few.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, errors, names, sql
from crm_ops.base import store as stores
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.fold import rebuild, refresh, verify
from crm_ops.jobs import run as jobs
from crm_ops.jobs.work import Request, Tools
from crm_ops.publish import codec
from crm_ops.publish import verify as published
from tests.fold import orders, shop
from tests.fold.capturing import EVERYBODY, apply, changed
from tests.fold.shop import Order

HISTORIES = int(os.environ.get("LAW_HISTORIES", "25"))
TABLE = 'shop."order lines"'
# Three catalogs: as it is; one facet more, two less; other ranges and no filter on one aggregate.
CATALOGS = (
    shop.catalog(),
    changed({"money": {"column": "currency"}, "color": None, "tag": None}, {"all_orders": None}),
    changed({"size": {"kind": "ranges", "column": "size", "bounds": [0.0, 50.0]}}),
)
# How each differs from what `shop` counts: facets without, the new one, the ranges' bounds.
WITHOUT = ({"money"}, {"color", "tag", "all_orders"}, {"money"})
MIDDLE = Decimal(50)

# What is there before a history begins: enough for each change to hit something, extremes too.
STOCK = [
    (n, Order(0, 1 + n % 3, size=Decimal(n), color="red", currency="EUR", tags=("hot",)))
    for n in range(41)
]

ids = st.integers(0, 40)
shares = st.integers(2, 6)
writes = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(ids, orders.orders), max_size=6)),
    st.tuples(st.just("delete"), shares),
    st.tuples(st.just("move"), shares, orders.companies),
    st.tuples(st.just("soft delete"), shares),
    st.tuples(st.just("come back"), shares),
    st.tuples(st.just("resize"), shares, orders.sizes),
    st.tuples(st.just("tag"), shares, st.sampled_from(["hot", "cold"])),
    st.tuples(st.just("retag"), shares, st.sampled_from(["hot", "cold"])),
    st.tuples(st.just("untag"), shares),
    st.tuples(st.just("think better of it"), shares),
    st.tuples(st.just("merge"), shares),
    st.tuples(st.just("copy"), ids),
    st.tuples(st.just("truncate")),
)
transactions = st.tuples(
    st.lists(writes, min_size=1, max_size=3), st.sampled_from([True] * 4 + [False])
)
writers = st.lists(transactions, max_size=4)
ours = st.lists(
    st.sampled_from(["fold", "facets", "aggregates", "full", "rebuild", "verify", 0, 1, 2]),
    max_size=3,
)
# A facet and an aggregate come back while extremes go: a fold has two reasons to count anew.
COME_BACK = [([[]], [[1]]), ([[([("delete", 2)], True)]], [[0]])]
bouts = st.tuples(st.lists(writers, min_size=1, max_size=3), st.lists(ours, min_size=1, max_size=2))


class Wrong(Exception):
    """What must not happen beside anything."""


class House:
    """The shop, its jobs, and the catalog that holds at the moment."""

    def __init__(self, engine: sa.Engine, redis: stores.Client) -> None:
        self.engine, self.redis = engine, redis
        self.declare(0)

    def declare(self, number: int) -> None:
        self.number = number
        apply(self.engine, CATALOGS[number])

    @property
    def tools(self) -> Tools:
        loaded = Loaded(CATALOGS[self.number], Document("shop.yaml", {}, {}))
        return Tools(loaded, self.engine, self.redis, lambda: datetime.now(UTC))

    def job(self, name: str, **asked: Any) -> None:
        done = jobs.run(f"precompute_{name}", Request(**asked), self.tools, started_by="a test")
        if done.state != "success":
            raise Wrong(f"{name}: {done.error}")

    def do(self, what: str | int) -> None:
        """One thing of ours, beside anything."""
        counted = shop.counted(CATALOGS[self.number])
        match what:
            case int():
                self.declare(what)
            case "fold":
                refresh.fold(self.engine, counted)
            case "rebuild":
                rebuild.aggregate_figures(self.engine, counted, ["1", "3"])
            case "verify":
                if found := verify.compare(self.engine, counted, EVERYBODY).differences:
                    raise Wrong(found)
            case "full":
                self.job("facets", mode="full")
            case _:
                self.job(what)


@pytest.fixture
def house(migrated: sa.Engine, store: stores.Client) -> House:
    shop.build(migrated)
    return House(migrated, store)


@pytest.mark.timeout(300 + 10 * HISTORIES)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(history=COME_BACK)
@given(history=st.lists(bouts, min_size=2, max_size=4))
def test_whatever_happens_at_once_what_is_served_is_a_recount(
    house: House, caplog: pytest.LogCaptureFixture, history: list[tuple[Any, Any]]
) -> None:
    caplog.clear()
    _write(house.engine, [("put", STOCK)])
    with _Watch(house.redis) as watch:
        for theirs, mine in history:
            failures = _at_once(house, theirs, mine)
            assert failures == []
            assert _served(house) == _recounted(house)
    assert watch.went_back == []
    assert watch.seen > 0
    # What contradicts itself is mended before it is served; but some change was not seen once.
    assert [each.message for each in caplog.records if _repairs(each)] == []


def _repairs(told: logging.LogRecord) -> bool:
    return getattr(told, "action", None) == "repair"


def test_a_column_that_left_the_log_and_came_back_is_counted_anew(house: House) -> None:
    """What waits in the log was written by three catalogs, of which one knew nothing of colors."""
    house.job("facets")
    for number in (0, 1, 0):
        house.declare(number)
        _write(house.engine, [("put", [(number + 5, Order(0, color="red", size=Decimal(3)))])])
        _write(house.engine, [("put", [(1, Order(0, color=f"c{number}", deleted=number == 1))])])

    assert _served(house) == _recounted(house)


def test_a_filter_that_was_another_for_a_while_leaves_nothing_behind(house: House) -> None:
    house.job("facets")
    entity = CATALOGS[0].entities["order"].model_copy(update={"where": {}})
    apply(house.engine, CATALOGS[0].model_copy(update={"entities": {"order": entity}}))
    _write(house.engine, [("put", [(1, Order(0, deleted=True)), (2, Order(0))])])
    house.declare(0)

    assert _served(house) == _recounted(house)


def _at_once(house: House, theirs: list[Any], mine: list[Any]) -> list[BaseException]:
    """Run writers and our own work beside each other; ours may be busy, never wrong."""
    failures: list[BaseException] = []

    def go(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (told by the test that waits)
            failures.append(error)

    def write(each: Any) -> None:
        for steps, keep in each:
            _write(house.engine, steps, keep=keep)

    def work(each: Any) -> None:
        for what in each:
            try:
                house.do(what)
            except (errors.DatabaseBusy, errors.DatabaseRefused):
                # A catalog that was changed under a running fold: the next one does it.
                continue

    threads = [
        threading.Thread(target=go, args=(lambda each=each: write(each),)) for each in theirs
    ]
    threads += [threading.Thread(target=go, args=(lambda each=each: work(each),)) for each in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One that was busy is asked for again.
    house.declare(house.number)
    return failures


_TURNED_AWAY = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)


def _write(engine: sa.Engine, steps: list[tuple[Any, ...]], *, keep: bool = True) -> None:
    """One transaction of the CRM; writers who meet may be turned away, as a whole."""
    try:
        with database.transaction(engine, keep=keep) as connection:
            for what, *values in steps:
                _WRITES[what](connection, *values)
    except (errors.DatabaseBusy, errors.DatabaseRefused, *_TURNED_AWAY):
        # A deadlock, which COPY tells by the driver; two who inserted one key.
        pass


def _put(connection: sa.Connection, given_: list[tuple[int, Order]]) -> None:
    shop.put(connection, [replace(order, id=id_) for id_, order in dict(given_).items()])


_unused = itertools.count(1_000)


def _copy(connection: sa.Connection, size: int) -> None:
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {TABLE} (id, company_id, size) FROM STDIN") as copy:
        for tenant in (1, 2, 3):
            copy.write_row((next(_unused), tenant, size))


def _statement(text: str) -> Callable[..., object]:
    def write(connection: sa.Connection, *values: object) -> None:
        sql.run(connection, text, dict(zip(("each", "value"), values, strict=False)))

    return write


def _think_better(connection: sa.Connection, each: int) -> None:
    """What is rolled back to a savepoint never was."""
    sql.run(connection, "SAVEPOINT before")
    _WRITES["move"](connection, each, 2)
    _WRITES["untag"](connection, each)
    sql.run(connection, "ROLLBACK TO before")


_SOME = "WHERE id %% %(each)s = 0"
_WRITES: dict[str, Callable[..., object]] = {
    "put": _put,
    "copy": _copy,
    "think better of it": _think_better,
    "delete": _statement(f"DELETE FROM {TABLE} {_SOME}"),
    "move": _statement(f"UPDATE {TABLE} SET company_id = %(value)s::bigint {_SOME}"),
    "soft delete": _statement(f"UPDATE {TABLE} SET deleted_at = now() {_SOME}"),
    "come back": _statement(f"UPDATE {TABLE} SET deleted_at = NULL {_SOME}"),
    "resize": _statement(f"UPDATE {TABLE} SET size = %(value)s::numeric {_SOME}"),
    "tag": _statement(f"INSERT INTO shop.order_tag SELECT id, %(value)s FROM {TABLE} {_SOME}"),
    "retag": _statement("UPDATE shop.order_tag SET tag = %(value)s WHERE order_id %% %(each)s = 0"),
    "untag": _statement("DELETE FROM shop.order_tag WHERE order_id %% %(each)s = 0"),
    "truncate": _statement(f"TRUNCATE {TABLE}, shop.order_tag"),
    "merge": _statement(
        f"MERGE INTO {TABLE} AS o USING generate_series(0, 40, %(each)s::int) AS g (id)"
        " ON o.id = g.id WHEN MATCHED AND o.size > 50 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET size = o.size + 1, currency = 'EUR'"
        " WHEN NOT MATCHED THEN INSERT (id, company_id, size) VALUES (g.id, 2, g.id)"
    ),
}


def _served(house: House) -> dict[str, object]:
    """What the tables and Redis hold once both jobs have run, and whether Redis is behind."""
    house.job("facets")
    house.job("aggregates")
    catalog = CATALOGS[house.number]
    counted = shop.counted(catalog)
    of_redis = published.compare(house.engine, house.redis, counted, EVERYBODY)
    # Bitmaps, too, hold the rows that there are.
    of_tables = verify.compare(house.engine, counted, EVERYBODY)
    return {
        "facets": shop.stored_facet_counts(house.engine),
        "figures": shop.printable(shop.stored_aggregate_figures(house.engine)),
        "facets in Redis": _in_redis(house, catalog),
        "values in Redis": of_redis.values,
        "behind": of_redis.behind,
        "unproved": of_tables.unproved,
        "differences": [*of_redis.differences, *of_tables.differences],
    }


def _recounted(house: House) -> dict[str, object]:
    """What has to be served, in plain Python."""
    rows, without = _rows(house.engine), WITHOUT[house.number]
    facets = _facets(rows, house.number)
    figures = {
        key: each for key, each in shop.aggregate_figures(rows).items() if key[0] not in without
    }
    return {
        "facets": facets,
        "figures": shop.printable(figures),
        "facets in Redis": facets,
        "values in Redis": len(EVERYBODY) * (1 + len(CATALOGS[house.number].aggregates)),
        "behind": 0,
        "unproved": None,
        "differences": [],
    }


def _rows(engine: sa.Engine) -> list[Order]:
    with database.transaction(engine) as connection:
        found = sql.run(
            connection,
            "SELECT o.*, ARRAY(SELECT tag FROM shop.order_tag WHERE order_id = o.id) AS tags"
            f" FROM {TABLE} AS o",
        )
        return [
            Order(
                row[0], row[1], row[2], row.size, row.person_id, row.placed,
                (row.info or {}).get("paint", {}).get("color"),
                row.deleted_at is not None, row.currency, tuple(row.tags),
            )
            for row in found
        ]  # fmt: skip


def _facets(rows: list[Order], number: int) -> dict[shop.Count, int]:
    """What catalog `number` counts, in plain Python."""
    found = Counter(shop.facet_counts(rows))
    for order in rows:
        tenant = shop.NOBODY if order.company is None else str(order.company)
        if order.deleted:
            continue
        found[tenant, "money", order.currency] += 1
        if number == 2 and order.size is not None:
            found[tenant, "size", shop._range(order.size)] -= 1
            high = order.size.is_nan() or order.size >= MIDDLE
            found[tenant, "size", "50.." if high else "..0" if order.size < 0 else "0..50"] += 1
    return {key: n for key, n in found.items() if n and key[1] not in WITHOUT[number]}


def _in_redis(house: House, catalog: Catalog) -> dict[shop.Count, int]:
    found: dict[shop.Count, int] = {}
    for tenant in EVERYBODY:
        key = names.facets_key("order", tenant)
        value = codec.facet_counts(house.redis.get(key), "order", tenant)  # type: ignore[arg-type]
        if value is None or set(value.facets) != set(catalog.entities["order"].facets):
            raise Wrong(f"{key}: {value}")
        if value.total:
            found[tenant, "", None] = value.total
        for name, facet in value.facets.items():
            found |= {(tenant, name, each.value): each.n for each in facet.buckets}
    return found


class _Watch:
    """Looks at every value in Redis again and again, and notes a version that went back."""

    def __init__(self, redis: stores.Client) -> None:
        self.redis = redis
        self.went_back: list[tuple[str, int, int]] = []
        self.seen = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        parts = [names.facets_key("order", each) for each in EVERYBODY]
        for name in shop.catalog().aggregates:
            parts += [names.aggregates_key(name, each) for each in EVERYBODY]
        self._keys = [*parts, names.moment_key("facets", "order")]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        last: dict[str, int] = {}
        while not self._done.wait(0.002):
            values: list[bytes | None] = self.redis.mget(self._keys)  # type: ignore[assignment]
            for key, value in zip(self._keys, values, strict=True):
                if value is None:
                    continue
                version = int(value[: codec.VERSION_DIGITS])
                if version < last.get(key, 0):
                    self.went_back.append((key, last[key], version))
                last[key] = version
                self.seen += 1
