"""A condition on the rows `r` of an entity, as SQL, with the values that it binds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Condition:
    """SQL that holds for some rows `r`, and its values by name; names differ within a statement."""

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """What holds where all of `conditions` do."""
    return _joined(list(conditions), " AND ", "true")


def any_of(conditions: Iterable[Condition]) -> Condition:
    """What holds where one of `conditions` does."""
    return _joined(list(conditions), " OR ", "false")


def _joined(conditions: list[Condition], word: str, empty: str) -> Condition:
    values = {name: value for each in conditions for name, value in each.values.items()}
    if len(conditions) == 1:
        return conditions[0]
    texts = [f"({each.text})" for each in conditions]
    return Condition(f"({word.join(texts)})" if texts else empty, values)


__all__ = ["Condition", "all_of", "any_of"]
