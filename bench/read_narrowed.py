"""Searches that a user or a text narrows: ours, and one statement with the same conditions."""

from __future__ import annotations

from collections.abc import Sequence

from bench import waiting, waits
from bench.case import OURS
from bench.questions import Question
from bench.read_ways import OneStatement, Way
from bench.report import table
from bench.waiting import Waited

OF_EACH_KIND = 30
# The seconds that a way has for all kinds.
_SECONDS = 10.0


def searches(ours: Way, statement: OneStatement, asked: Sequence[Question]) -> str:
    """Their table; one reader asks both ways in turn."""
    ways: tuple[Way, ...] = (ours, statement)
    kinds = dict.fromkeys(question.kind for question in asked)
    lines = []
    for kind in kinds:
        those = [question for question in asked if question.kind == kind]
        budget_s = _SECONDS / len(kinds)
        found = waiting.in_turn({way.name: way.ask for way in ways}, those, budget_s=budget_s)
        times = {way: [ms for _, ms in pairs] for way, pairs in found.items()}
        for way, each in times.items():
            compared = waits.ratio(each, times[OURS])
            lines.append(
                [kind, waits.bold(way), *waits.shown(Waited(tuple(each))), str(len(each)), compared]
            )
    heads = ("who or what", "way", *waits.TIMES, "answers", "times ours")
    told = "Narrowed by a user or a text, with up to two filters; one reader."
    return f"{told}\n\n{table(heads, lines)}"


__all__ = ["OF_EACH_KIND", "searches"]
