"""What callers wait: ways asked in turn by one reader, and each by eight readers at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

READERS = 8


@dataclass(frozen=True)
class Waited:
    """What one way's callers waited, in milliseconds."""

    milliseconds: tuple[float, ...]

    def at(self, share: float) -> float:
        """The time within which this share of the answers came."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


Ask = Callable[[Any], object]


def in_turn(
    ways: Mapping[str, Ask], asked: Sequence[Any], *, budget_s: float
) -> dict[str, list[tuple[Any, float]]]:
    """Each way's (question, milliseconds); a way that took `budget_s` in sum is asked no more."""
    found: dict[str, list[tuple[Any, float]]] = {way: [] for way in ways}
    spent = dict.fromkeys(ways, 0.0)
    for at, question in enumerate(asked):
        # Whoever is asked first warms the caches for the others: each is first in turn.
        first = at % len(ways)
        for way in [*ways, *ways][first : first + len(ways)]:
            if spent[way] > budget_s * 1000:
                continue
            took = _timed(ways[way], question)
            spent[way] += took
            found[way].append((question, took))
    return found


def at_once(ask: Ask, asked: Sequence[Any], *, seconds: float) -> tuple[Waited, float]:
    """What eight readers waited who ask as fast as they can, and how many answers a second came."""
    took: list[float] = []
    problems: list[BaseException] = []
    turn: Iterator[int] = count()
    began = time.perf_counter()

    def read() -> None:
        try:
            while time.perf_counter() - began < seconds:
                took.append(_timed(ask, asked[next(turn) % len(asked)]))
        except BaseException as error:
            problems.append(error)
            raise

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    if problems:
        raise RuntimeError("a reader failed") from problems[0]
    return Waited(tuple(took)), len(took) / (time.perf_counter() - began)


def _timed(ask: Ask, question: Any) -> float:
    began = time.perf_counter()
    ask(question)
    return (time.perf_counter() - began) * 1000


__all__ = ["READERS", "Ask", "Waited", "at_once", "in_turn"]
