"""Times decisions in processes of their own, as the workers of a CRM are."""

from __future__ import annotations

import multiprocessing as mp
import random
import statistics
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from bench.case import OURS
from bench.report import say, table
from bench.sharing import company, ways
from bench.sharing.company import Place
from crm_ops.base import database, prepared, store

DECISIONS = 50
# Eight that ask without a pause, or all at one moment, would measure how two cores are divided.
_PAUSE_S = 0.01
_HEADS = ("way", "median ms", "p95 ms", "cost ms", "saved of plain SQL", "saved of the ORM")


def case(place: Place, rules: int, readers: int, rounds: int, where: str) -> str:
    """The table of one decision, by so many readers at once."""
    say(f"{rules} rules, {readers} readers, {where}")
    timed = _timed(place, readers, rounds)
    floor = statistics.median(timed[ways.FLOOR])
    cost = {way: statistics.median(found) - floor for way, found in timed.items()}
    rows = [
        [
            f"**{way}**" if way == OURS else way,
            f"{statistics.median(found) * 1000:.3f}",
            f"{statistics.quantiles(found, n=20)[18] * 1000:.3f}",
            f"{cost[way] * 1000:.3f}",
            f"{1 - cost[way] / cost['plain SQL']:.1%}",
            f"{1 - cost[way] / cost['ORM']:.1%}",
        ]
        for way, found in timed.items()
    ]
    many = "1 reader" if readers == 1 else f"{readers} readers"
    drawn = f", each pausing {_PAUSE_S * 1000:.0f} ms between two on average, at random"
    pause = drawn if readers > 1 else ""
    return (
        f"## may a user read a record: {rules} rules, {many}, {where}\n\n"
        f"{len(timed[OURS]):,} decisions of each way{pause}. The cost of the permission is the"
        " median above the floor's.\n\n" + table(_HEADS, rows)
    )


def trip_ms(place: Place) -> float:
    """The median of a round trip to PostgreSQL, in milliseconds."""
    engine = place.engine()
    found = []
    with database.autocommit(engine) as connection:
        for _ in range(500):
            started = time.perf_counter()
            prepared.row(connection, "SELECT 1", {})
            found.append(time.perf_counter() - started)
    engine.dispose()
    return statistics.median(found) * 1000


def _timed(place: Place, readers: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each decision by way, of all readers."""
    forked = mp.get_context("fork")
    told: Any = forked.SimpleQueue()
    barrier = forked.Barrier(readers)
    started = [
        forked.Process(target=_read, args=(place, number, readers, rounds, barrier, told))
        for number in range(readers)
    ]
    for process in started:
        process.start()
    total: dict[str, list[float]] = {}
    for _ in started:
        found, answers = told.get()
        if len(set(answers.values())) != 1:
            raise AssertionError(f"the ways disagree: {[*answers]}")
        for way, seconds in found.items():
            total.setdefault(way, []).extend(seconds)
    for process in started:
        process.join()
    return total


def _read(
    place: Place, number: int, readers: int, rounds: int, barrier: Barrier, told: Any
) -> None:
    engine, redis = place.engine(), store.client(place.redis_url)
    seconds: dict[str, list[float]] = {}
    answers: dict[str, tuple[bool, ...]] = {}
    with database.autocommit(engine) as connection:
        found = ways.ready(connection, redis)
        for turn in range(rounds + 1):
            asked = company.questions(1000 * turn + number, DECISIONS)
            for name, prepare in found.items():
                way = prepare()
                barrier.wait(120)
                times, said = _asked(way, asked, _PAUSE_S if readers > 1 else 0.0)
                if turn:
                    seconds.setdefault(name, []).extend(times)
                if name != ways.FLOOR:
                    answers[name] = (*answers.get(name, ()), *said)
    told.put((seconds, answers))


def _asked(
    way: ways.Way, asked: list[tuple[int, int]], pause_s: float
) -> tuple[list[float], list[bool]]:
    times, said = [], []
    # The same pauses for the same questions, whatever the way.
    drawn = random.Random(str(asked))
    for user, lead in asked:
        if pause_s:
            time.sleep(drawn.expovariate(1 / pause_s))
        started = time.perf_counter()
        answer = way(user, lead)
        times.append(time.perf_counter() - started)
        said.append(answer)
    return times, said


__all__ = ["case", "trip_ms"]
