"""Whatever Redis holds or does, the decisions are those of PostgreSQL."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import redis
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, names, sql
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import codec, install, shared
from crm_ops.sharing.people import People
from crm_ops.sharing.predicate import Condition
from crm_ops.sharing.rules import Rule
from crm_ops.sharing.shared import Shared
from tests.read.test_access import SMALL
from tests.sharing import office

CATALOG = office.catalog()
KEY = b"the key of a test, not of a CRM."
NAMES = [names.organisation_key("1"), names.sharing_key("lead", "1")]
NOBODY, LEAD = User("1", "3"), Record("lead", "2")
SOMEBODY = User("1", "2")


@pytest.fixture
def engine(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    office.fill(database, SMALL)
    return database


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with databases.autocommit(engine) as made:
        yield made


def decides_rightly(connection: sa.Connection, client: redis.Redis) -> None:
    """Asks a process that remembers nothing yet, twice."""
    access = Access(connection, CATALOG, shared=Shared(client, KEY))
    for _ in range(2):
        assert access.may(connection, SOMEBODY, LEAD)
        assert not access.may(connection, NOBODY, LEAD)


def version(connection: sa.Connection) -> int:
    return int(
        sql.run(
            connection,
            "SELECT sum(epoch)::bigint FROM crm_ops.sharing_epoch"
            " WHERE scope = 't:1' OR scope LIKE '*%%'",
        ).scalar_one()
    )


def grant_all(tenant: str, epoch: int, key: bytes) -> list[bytes]:
    """Values by which everybody might write everything."""
    now = datetime(2026, 1, 31, tzinfo=UTC)
    always = Condition("ne", "size", "number", ("7",))
    rule = Rule("1", "lead", always, "everyone", None, "read_write")
    people = People("public_read_write", (("3", None, True), ("2", None, True)), ())
    return [
        codec.encode(codec.PeopleEntry(tenant, epoch, now, people), key),
        codec.encode(codec.Entry(tenant, "lead", epoch, now, (rule,)), key),
    ]


def test_what_one_process_read_serves_another(
    connection: sa.Connection, store: redis.Redis
) -> None:
    decides_rightly(connection, store)
    assert store.exists(*NAMES) == 2
    assert 26 * 3600 - 10 < store.ttl(NAMES[0]) <= 27 * 3600
    # A signed value of the current version is believed: this is the one who can sign.
    for name, value in zip(NAMES, grant_all("1", version(connection), KEY), strict=True):
        store.set(name, value)
    access = Access(connection, CATALOG, shared=Shared(store, KEY))
    assert access.may(connection, NOBODY, LEAD)


@pytest.mark.parametrize(
    "poison",
    [
        lambda epoch: [b"", b""],
        lambda epoch: [b"garbage", b"\xff" * 500],
        lambda epoch: [value[64:] for value in grant_all("1", epoch, KEY)],
        lambda epoch: [b"0" * 64 + value[64:] for value in grant_all("1", epoch, KEY)],
        lambda epoch: grant_all("1", epoch, b"the key of somebody else, a thief"),
        lambda epoch: grant_all("2", epoch, KEY),
        lambda epoch: grant_all("1", epoch - 1, KEY),
        lambda epoch: grant_all("1", 0, KEY),
        lambda epoch: list(reversed(grant_all("1", epoch, KEY))),
    ],
    ids=[
        "empty",
        "garbage",
        "unsigned",
        "zeros for a signature",
        "another key",
        "of another tenant",
        "replayed",
        "never of an epoch",
        "people for rules",
    ],
)
def test_a_poisoned_redis_grants_nothing(
    connection: sa.Connection, store: redis.Redis, poison: Callable[[int], list[bytes]]
) -> None:
    for name, value in zip(NAMES, poison(version(connection)), strict=True):
        store.set(name, value)
    decides_rightly(connection, store)


def test_values_of_a_wrong_type_are_a_miss(connection: sa.Connection, store: redis.Redis) -> None:
    for name in NAMES:
        store.rpush(name, "x")
    decides_rightly(connection, store)


def test_redis_away_is_told_once_and_left_alone(
    connection: sa.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        decides_rightly(connection, shared.client("redis://:hidden@127.0.0.1:1/0"))
    assert caplog.text.count("PostgreSQL answers alone") == 1
    assert "hidden" not in caplog.text


def test_a_hung_redis_costs_a_moment_once(connection: sa.Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = shared.client(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        access = Access(connection, CATALOG, shared=Shared(client, KEY))
        began = time.monotonic()
        assert not access.may(connection, NOBODY, LEAD)
        assert access.may(connection, SOMEBODY, LEAD)
        assert time.monotonic() - began < 2


def test_without_a_signing_key_redis_is_refused_with_the_remedy(store: redis.Redis) -> None:
    with pytest.raises(errors.SettingsError, match="set CRM_OPS_SIGNING_KEY"):
        Shared(store, None)
