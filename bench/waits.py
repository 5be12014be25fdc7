"""What callers waited, as cells of a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.case import OURS
from bench.waiting import Waited

TIMES = ("p50 ms", "p95 ms", "p99 ms")


def bold(way: str) -> str:
    """A way's name, ours in bold."""
    return f"**{way}**" if way == OURS else way


def shown(waited: Waited) -> list[str]:
    """The cells under `TIMES`."""
    if not waited.milliseconds:
        return ["-"] * len(TIMES)
    times = [waited.at(share) for share in (0.5, 0.95, 0.99)]
    return [f"{ms:,.0f}" if ms >= 100 else f"{ms:.2f}" for ms in times]


def ratio(times: Sequence[float], ours: Sequence[float]) -> str:
    """The medians' ratio, over the questions that both were asked: the first ones of a list."""
    both = min(len(times), len(ours))
    if not both:
        return "-"
    return f"{statistics.median(times[:both]) / statistics.median(ours[:both]):.2f}"


__all__ = ["TIMES", "bold", "ratio", "shown"]
