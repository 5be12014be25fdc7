"""Names of partitions, for people: the table's name and the month; names decide nothing."""

from __future__ import annotations

from collections.abc import Container
from itertools import count

from crm_ops.audit.months import Month

# PostgreSQL cuts longer names; room is left for _pYYYYMM and a number.
_MOST_BYTES = 63
_ROOM = len("_p999912_9999")


def prefix(table: str) -> str:
    """How the names of the table's partitions begin, short enough for what follows."""
    return table.encode()[: _MOST_BYTES - _ROOM].decode(errors="ignore")


def free(table: str, month: Month, taken: Container[str]) -> str:
    """`<table>_pYYYYMM`, with a number after it where that name is taken."""
    plain = f"{prefix(table)}_p{month.year:04}{month.month:02}"
    if plain not in taken:
        return plain
    return next(name for number in count(2) if (name := f"{plain}_{number}") not in taken)


__all__ = ["free", "prefix"]
