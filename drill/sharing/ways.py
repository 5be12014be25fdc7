"""The ways of deciding that are raced: ours, and two old ones that must be caught."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
import sqlalchemy as sa

from crm_ops.read.access import Access, Record, User
from crm_ops.sharing import shared
from drill.sharing.crm import Pair, catalog

KEY = b"a key for the drill, 32 letters.."
TTL_S = 2

Decide = Callable[[sa.Connection, Pair], bool]


class LateRedis(redis.Redis):
    """Writes some values long after they were read."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "SET":
            _dawdle()
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, *args: Any, **options: Any) -> Any:
        _dawdle()
        return super().pipeline(*args, **options)


def _dawdle() -> None:
    if random.random() < 0.2:
        time.sleep(random.random() * 0.02)


def ours(_: sa.Connection, redis_url: str) -> Decide:
    """The library, with Redis; it forgets now and then, as a new process would."""
    held: list[Access] = []

    def decide(connection: sa.Connection, pair: Pair) -> bool:
        if not held or random.random() < 0.002:
            client = LateRedis.from_url(redis_url, socket_timeout=0.05, socket_connect_timeout=0.05)
            held[:] = [Access(connection, catalog(), shared=shared.Shared(client, KEY))]
        return held[0].may(connection, User(str(pair.company), str(pair.user)), lead_of(pair))

    return decide


def lead_of(pair: Pair) -> Record:
    return Record("lead", str(pair.lead))


def cached(connection: sa.Connection, redis_url: str) -> Decide:
    """The decision itself in Redis, for some seconds: as the system before."""
    client = LateRedis.from_url(redis_url, socket_timeout=0.5)
    plain = Access(connection, catalog())

    def decide(connection: sa.Connection, pair: Pair) -> bool:
        name = f"old:{pair.company}:{pair.user}:{pair.lead}"
        with suppress(redis.RedisError):
            value = client.get(name)
            if value is not None:
                return value == b"1"
        found = plain.explain(
            connection, User(str(pair.company), str(pair.user)), lead_of(pair)
        ).level
        with suppress(redis.RedisError):
            client.set(name, b"1" if found else b"0", ex=TTL_S)
        return found is not None

    return decide


DECIDE = {"ours": ours, "time to live": cached, "delete after commit": cached}
