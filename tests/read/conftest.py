from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm_ops.base import database, store
from crm_ops.read import codes, connect
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.read import desk


@pytest.fixture
def engine(migrated: sa.Engine) -> Iterator[sa.Engine]:
    """The shop's database, as a reader opens it."""
    shop.build(migrated)
    with database.transaction(migrated) as connection:
        connection.exec_driver_sql(
            "INSERT INTO shop.person VALUES (1, 'Ann'), (2, 'Bo'), (3, NULL)"
        )
    made = connect.engine(migrated.url.render_as_string(hide_password=False))
    yield made
    made.dispose()


@pytest.fixture
def quick(redis_url: str) -> Iterator[store.Client]:
    """Redis, as a reader opens it."""
    with connect.redis_client(redis_url) as client:
        client.ping()
        yield client


@pytest.fixture
def reader(engine: sa.Engine, quick: store.Client) -> Reader:
    return Reader(desk.CATALOG, engine, quick, signing_key=desk.KEY)


@pytest.fixture(params=["intersections", "codes"])
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are counted by the intersections of their bitmaps, or all by codes."""
    monkeypatch.setattr(codes, "_WORTH", 0 if request.param == "codes" else 10**9)
    monkeypatch.setattr(codes.Codes, "suits", lambda *_: True)
