"""An answer takes at most one trip to Redis and one to PostgreSQL, counted on the wires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import store
from crm_ops.fold import rebuild
from crm_ops.read import connect
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.fold.shop import Order
from tests.read import desk, wire
from tests.read.wire import Wire


@pytest.fixture
def to_postgres(engine: sa.Engine) -> Iterator[Wire]:
    with wire.to(str(engine.url.host), engine.url.port or 5432) as made:
        yield made


@pytest.fixture
def to_redis(quick: store.Client) -> Iterator[Wire]:
    at = quick.connection_pool.connection_kwargs
    with wire.to(str(at["host"]), int(at["port"])) as made:
        yield made


@pytest.fixture
def reader(
    engine: sa.Engine, quick: store.Client, redis_url: str, to_postgres: Wire, to_redis: Wire
) -> Iterator[Reader]:
    """A reader at the end of both wires, its connections open and its tables looked at."""
    counted = shop.counted(desk.CATALOG)
    shop.fill(engine, [Order(at, state="new", tags=("hot",)) for at in range(9)])
    desk.count(engine)
    rebuild.aggregate_figures(engine, counted, desk.EVERYBODY)
    desk.publish(engine, quick)
    url = engine.url.set(host="127.0.0.1", port=to_postgres.port)
    made = connect.engine(url.render_as_string(hide_password=False))
    port = quick.connection_pool.connection_kwargs["port"]
    with connect.redis_client(redis_url.replace(f":{port}", f":{to_redis.port}")) as client:
        found = Reader(desk.CATALOG, made, client)
        assert found.search("order", tenant=1).source == "redis"
        yield found
    made.dispose()


@pytest.mark.parametrize(
    ("asked", "redis", "postgres"),
    [
        ({}, 1, 1),
        ({"limit": 0}, 1, 0),
        ({"filters": {"state": ["new", None], "tag": "hot"}}, 0, 1),
        ({"text": "new", "sort": "-size"}, 0, 1),
    ],
    ids=["no filter", "only counts", "filters", "text"],
)
def test_a_search_takes_one_trip_at_most(
    reader: Reader,
    to_postgres: Wire,
    to_redis: Wire,
    asked: dict[str, Any],
    redis: int,
    postgres: int,
) -> None:
    to_postgres.trips = to_redis.trips = 0
    for _ in range(3):
        assert reader.search("order", tenant=1, **asked).total == 9

    assert (to_redis.trips, to_postgres.trips) == (3 * redis, 3 * postgres)


@pytest.mark.parametrize("by", [None, ["day:quarter"], []])
def test_a_report_takes_one_trip(
    reader: Reader, to_postgres: Wire, to_redis: Wire, by: list[str] | None
) -> None:
    to_postgres.trips = to_redis.trips = 0

    assert reader.report("by_day_and_state", tenant=1, by=by).source == "table"

    assert (to_redis.trips, to_postgres.trips) == (0, 1)
