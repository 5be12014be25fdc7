"""The racing processes: some ask, others grant, revoke, roll back and crash.

A pair's number in `states` is even while its revocation is acknowledged, odd otherwise; every
change adds one. A check counts where the number is the same even one before and after.
"""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
import sqlalchemy as sa

from crm_ops.base import database, errors, sql, store
from drill.sharing.cache import Cache
from drill.sharing.crm import WAYS, Pair, pairs
from drill.sharing.ways import DECIDE

# Shared by all processes, without a lock: one that is killed would never give it back.
States = Any

# What is counted of each process: checks that counted, stale grants, grants, errors, writes.
_FIGURES = 5
_PROCESSES = 3


def read(
    way: str, url: str, redis_url: str, states: States, counts: States, at: int, until: float
) -> None:
    """Ask until then, and count."""
    engine = database.engine(url)
    found = pairs()
    random.seed(os.getpid())
    with database.autocommit(engine) as connection:
        decide = DECIDE[way](connection, redis_url)
        mine = [0, 0, 0, 0]
        while time.time() < until:
            pair = random.choice(found)
            before = states[pair.number]
            try:
                granted = decide(connection, pair)
            except errors.CrmOpsError:
                mine[3] += 1
                continue
            after = states[pair.number]
            if before == after and before % 2 == 0:
                mine[0] += 1
                mine[1] += granted
            mine[2] += granted
    counts[at * _FIGURES : at * _FIGURES + len(mine)] = mine


def write(way: str, url: str, redis_url: str, states: States, counts: States, part: int) -> None:
    """Grant and revoke until killed."""
    engine = database.engine(url)
    client = store.client(redis_url, timeout_s=0.5)
    random.seed(os.getpid())
    found = [pair for pair in pairs() if pair.number % _PROCESSES == part]
    with engine.connect() as connection:
        # The one before may have crashed anywhere: what it was at is revoked first, then counted.
        for pair in found:
            if states[pair.number] % 2:
                _revoke(connection, pair)
                states[pair.number] += 1
        while True:
            pair = random.choice(found)
            states[pair.number] += 1
            _grant(connection, pair)
            _deleted(way, client, pair)
            time.sleep(random.random() * 0.01)
            if random.random() < 0.1:
                # A revocation that is rolled back revokes nothing.
                sql.run(connection, pair.fill(WAYS[pair.way][1]))
                connection.rollback()
            _revoke(connection, pair)
            states[pair.number] += 1
            if random.random() >= 0.02:
                _deleted(way, client, pair)
            if random.random() < 0.1:
                # A grant that is rolled back grants nothing.
                sql.run(connection, pair.fill(WAYS[pair.way][0]))
                time.sleep(random.random() * 0.005)
                connection.rollback()
            counts[(_PROCESSES + part) * _FIGURES + 4] += 2
            time.sleep(random.random() * 0.02)


def _grant(connection: sa.Connection, pair: Pair) -> None:
    sql.run(connection, pair.fill(WAYS[pair.way][0]))
    connection.commit()


def _revoke(connection: sa.Connection, pair: Pair) -> None:
    sql.run(connection, pair.fill(WAYS[pair.way][1]))
    connection.commit()


def _deleted(way: str, client: store.Client, pair: Pair) -> None:
    if way == "delete after commit":
        with suppress(redis.RedisError):
            client.delete(f"old:{pair.company}:{pair.user}:{pair.lead}")


def run(way: str, url: str, cache: Cache, seconds: float, checks: int) -> list[int]:
    """Race until `seconds` have passed and, of ours, `checks` counted; the sums of `counts`."""
    states = mp.RawArray(ctypes.c_long, len(pairs()))
    total = [0] * _FIGURES
    deadline = time.time() + 600
    while total[0] < checks and time.time() < deadline:
        counts = mp.RawArray(ctypes.c_long, 2 * _PROCESSES * _FIGURES)
        until = time.time() + seconds
        redis_url = cache.url
        given = (way, url, redis_url, states, counts)
        writers = [_started(write, *given, at) for at in range(_PROCESSES)]
        readers = [_started(read, *given, at, until) for at in range(_PROCESSES)]
        while time.time() < until:
            time.sleep(seconds / 5)
            at = random.randrange(_PROCESSES)
            _kill(writers[at])
            writers[at] = _started(write, *given, at)
            cache.crash()
        for process in readers:
            process.join()
        for process in writers:
            _kill(process)
        total = [had + sum(counts[at::_FIGURES]) for at, had in enumerate(total)]
    _quiet(url, states)
    return total


def _started(target: Callable[..., None], *args: Any) -> Any:
    process = mp.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def _kill(process: Any) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def _quiet(url: str, states: States) -> None:
    """Revoke what the killed writers left granted, for the next way."""
    engine = database.engine(url)
    with engine.connect() as connection:
        for pair in pairs():
            _revoke(connection, pair)
            states[pair.number] = 0
    engine.dispose()
