"""The order of rows: by a declared column, rows without a value last, the key deciding ties."""

from __future__ import annotations

from dataclasses import dataclass

from crm_ops.base import errors
from crm_ops.read.layout import Layout


@dataclass(frozen=True)
class Order:
    """A column, or the key itself, rising or falling; a row's key decides in the same direction."""

    column: str
    falling: bool

    @property
    def direction(self) -> str:
        """As SQL."""
        return "DESC" if self.falling else "ASC"

    @property
    def beyond(self) -> str:
        """The comparison of what comes later with what came before, as SQL."""
        return "<" if self.falling else ">"

    def __str__(self) -> str:
        return f"-{self.column}" if self.falling else self.column


def parse(layout: Layout, text: str | None) -> Order:
    """The order that `created_at` or `-created_at` (falling) names; None is the default."""
    declared = layout.entity.search.sort
    key = layout.entity.key
    if text is None:
        return Order(declared[0], falling=True) if declared else Order(key, falling=False)
    name = text.removeprefix("-")
    if name not in (*declared, key):
        known = ", ".join(dict.fromkeys((*declared, key)))
        raise errors.ParameterError(
            f"{layout.counted.name} is not sorted by {name[:60]!r}; declared are {known} (with a -"
            " in front: falling)"
        )
    return Order(name, falling=text.startswith("-"))


__all__ = ["Order", "parse"]
