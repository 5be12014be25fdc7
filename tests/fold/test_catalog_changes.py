"""A changed catalog is taken over without a moment at which a reader sees a wrong figure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import database, names, sql
from crm_ops.base.store import Client
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.fold import rebuild, refresh
from crm_ops.jobs import run as jobs
from crm_ops.jobs.work import Request, Tools
from crm_ops.publish import codec
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, changed
from tests.fold.capturing import run as execute
from tests.fold.shop import Order

ROWS = [
    Order(n, 1 + n % 3, f"s{n % 4}", Decimal(n), color="red", currency="EUR", tags=("hot",))
    for n in range(60)
]
OTHER = changed(
    {
        "money": {"column": "currency"},
        "color": None,
        "size": {"kind": "ranges", "column": "size", "bounds": [0.0, 30.0]},
    },
    {"all_orders": None},
)
OTHER_SIZES = {"..0": 0, "0..30": 10, "30..": 10}


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    with database.transaction(migrated) as connection:
        shop.put(connection, ROWS)
    return migrated


def refreshed(engine: sa.Engine, store: Client, catalog: Catalog) -> dict[str, Any]:
    loaded = Loaded(catalog, Document("shop.yaml", {}, {}))
    tools = Tools(loaded, engine, store, lambda: datetime.now(UTC))
    details: dict[str, Any] = {}
    for job in ("precompute_facets", "precompute_aggregates"):
        done = jobs.run(job, Request(), tools, started_by="a test")
        assert done.state == "success", done.error
        details |= {f"{job}.{name}": each for name, each in done.details.items()}
    return details


def test_readers_never_see_a_wrong_figure_while_the_catalog_changes(
    engine: sa.Engine, store: Client
) -> None:
    """Changes wait in the log, others come in between: each value is one of the moments' own."""
    refreshed(engine, store, shop.catalog())
    with _polling(engine, store) as seen:
        for catalog in (OTHER, shop.catalog(), OTHER):
            execute(engine, 'UPDATE shop."order lines" SET size = size')
            apply(engine, catalog)
            execute(engine, 'UPDATE shop."order lines" SET currency = currency')
            refreshed(engine, store, catalog)
    assert seen.looks > 20
    assert seen.wrong == []
    assert seen.kinds == {("table", True), ("table", False), ("redis", True), ("redis", False)}


def test_a_new_facet_is_built_and_nothing_else(
    engine: sa.Engine, store: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(engine, store, shop.catalog())
    before = _pages(engine)
    apply(engine, changed({"money": {"column": "currency"}}))
    monkeypatch.setattr(rebuild, "facet_counts", _never)
    monkeypatch.setattr(rebuild, "aggregate_figures", _never)

    counted = shop.counted(changed({"money": {"column": "currency"}}))
    done = refresh.fold(engine, counted)

    assert (done.set_aside, done.unusable, done.drained.changes) == (None, None, 0)
    assert refresh.uncaptured(engine, counted, EVERYBODY) == []
    after = _pages(engine)
    new = {each for each in after if "money" in each}
    assert len(new) == 3
    assert {each: after[each] for each in after if each not in new} == before


def _never(*_: object, **__: object) -> None:
    raise AssertionError("counted anew")


def _pages(engine: sa.Engine) -> dict[str, str]:
    """Where each figure lies: a row that is written moves, or is by another transaction."""
    with database.transaction(engine) as connection:
        rows = sql.run(
            connection,
            "SELECT concat_ws('|', tenant, facet, bucket) AS key, ctid::text || xmin AS place"
            " FROM crm_ops.facet_count UNION ALL SELECT concat_ws('|', aggregate, tenant,"
            " dimensions::text, measured), ctid::text || xmin FROM crm_ops.aggregate",
        )
        return {row.key: row.place for row in rows}


class _Seen:
    def __init__(self) -> None:
        self.looks = 0
        self.wrong: list[object] = []
        self.kinds: set[tuple[str, bool]] = set()

    def judge(self, place: str, tenant: str, facets: dict[str, dict[str | None, int]]) -> None:
        """No facet but with its own buckets, each with its own count; changes changed no figure."""
        right = {name: buckets for name, buckets in _right(tenant).items() if name in facets}
        right_new = {**right, "money": {"EUR": 20}, "size": OTHER_SIZES}
        for name, buckets in facets.items():
            shown = {bucket: n for bucket, n in buckets.items() if n}
            either = [
                {bucket: n for bucket, n in of.get(name, {}).items() if n}
                for of in (right, right_new)
            ]
            if shown not in either:
                self.wrong.append((place, tenant, name, shown))
        self.kinds.add((place, "money" in facets))
        self.looks += 1


def _right(tenant: str) -> dict[str, dict[str | None, int]]:
    found: dict[str, dict[str | None, int]] = {}
    for (of, facet, bucket), n in shop.facet_counts(ROWS).items():
        if of == tenant:
            found.setdefault(facet, {})[bucket] = n
    return found


@contextmanager
def _polling(engine: sa.Engine, store: Client) -> Iterator[_Seen]:
    """Somebody who reads the table and Redis all the time."""
    seen, done = _Seen(), threading.Event()

    def look() -> None:
        while not done.is_set():
            for tenant in shop.TENANTS:
                stored: dict[str, dict[str | None, int]] = {}
                with database.transaction(engine) as connection:
                    for row in sql.run(
                        connection,
                        "SELECT facet, bucket, n FROM crm_ops.facet_count WHERE tenant = %(t)s",
                        t=tenant,
                    ):
                        stored.setdefault(row.facet, {})[row.bucket] = row.n
                seen.judge("table", tenant, stored)
                value: bytes | None = store.get(names.facets_key("order", tenant))  # type: ignore[assignment]
                of_redis = codec.facet_counts(value, "order", tenant)
                assert of_redis is not None
                shown = {
                    name: {each.value: each.n for each in facet.buckets}
                    for name, facet in of_redis.facets.items()
                }
                seen.judge("redis", tenant, {"": {None: of_redis.total}, **shown})

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield seen
    finally:
        done.set()
        reader.join()
