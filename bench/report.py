"""The page of a section: its tables in Markdown, written after each case, so that none is lost."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.case import OURS, Case, Timing, measure


class Report:
    """Grows by a part after each case; `path` holds at any moment what was measured so far."""

    def __init__(self, path: Path, title: str, about: str | None, *, facts: str) -> None:
        self._path = path
        self._parts = [
            f"# {title}\n",
            f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores"
            f" ({platform.machine()}), Python {platform.python_version()}, {facts}.\n",
            f"{about}".partition("\n\n")[2].strip() + "\n",
        ]

    def case(self, case: Case, rounds: int) -> list[Timing]:
        """Measure a case, add its table, and return what was measured."""
        timings = measure(case, rounds, say)
        shown = [
            [
                f"**{each.way}**" if each.way == OURS else each.way,
                f"{each.median_ms:,.{_digits(each.median_ms)}f}",
                each.spread_ms,
                f"{each.ratio:.2f}",
            ]
            for each in timings
        ]
        heads = ("way", "median ms", "spread ms", "times ours")
        self.add(f"## {case.title}\n\n{case.about}\n\n{table(heads, shown)}")
        return timings

    def add(self, text: str) -> None:
        """Add a part, in Markdown, and write the page."""
        self._parts.append(text if text.endswith("\n") else f"{text}\n")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("\n".join(self._parts), encoding="utf-8")
        if not sys.stdout.isatty():
            print(text, flush=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    lines = [heads, ["---", *(["---:"] * (len(heads) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def say(message: str) -> None:
    """Tell on stderr how far it is; on a terminal in place."""
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)
    else:
        print(message, file=sys.stderr, flush=True)


def _digits(milliseconds: float) -> int:
    return 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2


__all__ = ["Report", "say", "table"]
