"""A case: several ways to the same end, run in turn, so that a machine's drift hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# The way every other is compared with.
OURS = "ours"


@dataclass(frozen=True)
class Case:
    """What is compared (`title`), how it is done (`about`), and the ways by name.

    `prepare` is done, unmeasured, before each round. The `long` ways have rounds of their own,
    after the others: what they leave to do to the server is not charged to those. They are not run
    once unmeasured; those to be run `once` are in the first measured round alone.
    """

    title: str
    about: str
    ways: Mapping[str, Callable[[], object]]
    prepare: Callable[[], object] = lambda: None
    long: frozenset[str] = frozenset()
    once: frozenset[str] = frozenset()

    def rounds(self, rounds: int) -> Iterator[tuple[int, list[str]]]:
        """The number of each round and the ways that are in it; the round 0 is not measured."""
        for turn in range(rounds + 1):
            yield turn, self._ways(turn, long=False)
        for turn in range(1, rounds + 1):
            yield turn, self._ways(turn, long=True)

    def _ways(self, turn: int, *, long: bool) -> list[str]:
        own = [way for way in self.ways if (way in self.long) is long]
        return [way for way in own if turn == 1 or way not in self.once]


@dataclass(frozen=True)
class Timing:
    """One way's seconds, one for each round it was in, and the ratio to ours, round by round."""

    way: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The median, in milliseconds."""
        return statistics.median(self.seconds) * 1000

    @property
    def spread_ms(self) -> str:
        """The fastest and the slowest round, in milliseconds."""
        return f"{min(self.seconds) * 1000:,.0f} - {max(self.seconds) * 1000:,.0f}"

    @property
    def ratio(self) -> float:
        """How many times as long as ours it takes: the median of the rounds' ratios."""
        return statistics.median(self.ratios)


def measure(case: Case, rounds: int, progress: Callable[[str], None]) -> list[Timing]:
    """Run every way once unmeasured and `rounds` times in turn, the long ones after the others."""
    seconds: dict[str, list[float]] = {way: [] for way in case.ways}
    for turn, ways in case.rounds(rounds):
        if ways:
            case.prepare()
        for way in ways:
            progress(f"{case.title}: {way}, round {turn} of {rounds}")
            started = time.perf_counter()
            case.ways[way]()
            if turn:
                seconds[way].append(time.perf_counter() - started)
    ours = seconds[OURS]
    return [
        Timing(
            way,
            tuple(found),
            tuple(each / own for each, own in zip(found, ours, strict=False)),
        )
        for way, found in seconds.items()
    ]
