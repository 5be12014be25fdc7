"""What a search asks for, checked against what is declared before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import msgspec

from crm_ops.base import errors
from crm_ops.catalog import suggestion
from crm_ops.read import condition, cursor, facet_filter, order, scope, values, words
from crm_ops.read.condition import Condition
from crm_ops.read.cursor import Position
from crm_ops.read.layout import Layout
from crm_ops.read.order import Order

Value = str | int | Decimal | date | None
"""A bucket: its name, or what it is a name of; None is the bucket of rows without a value."""

Filters = Mapping[str, Value | Sequence[Value]]
"""Facets and the buckets wanted of each: any of a facet's (OR), of every facet (AND)."""

MOST_ROWS = 1_000
_MOST_VALUES = 10_000


@dataclass(frozen=True)
class Visible:
    """The rows that a user may see, as a condition on `r`; `user` binds cursors to them."""

    user: str
    condition: Condition


@dataclass(frozen=True)
class Question:
    """A search that can be asked.

    `rows` are the tenant's, as far as the user may see them and the text finds them; `filters` keep
    some of them by facet, `buckets` says by name what each wants. `whole` says that nothing but
    filters narrows the tenant's rows, `plain` that nothing at all does, `text` that a text does.
    """

    layout: Layout
    tenant: str
    rows: Condition
    filters: Mapping[str, Condition]
    buckets: Mapping[str, Sequence[str | None]]
    order: Order
    limit: int
    after: Position | None
    not_older_than: datetime | None
    whole: bool
    plain: bool
    text: bool
    fingerprint: bytes


def make(
    layout: Layout,
    tenant: str,
    *,
    filters: Filters,
    text: str,
    sort: str | None,
    limit: int,
    after: str | None,
    visible: Visible | None,
    not_older_than: datetime | None,
    now: datetime,
    signing_key: bytes | None,
) -> Question:
    """The search; raises `ParameterError` naming what is wrong with it and what there is."""
    # A request brings texts; they would fail far from here, or not at all.
    if type(limit) is not int or not 0 <= limit <= MOST_ROWS:
        raise errors.ParameterError(
            f"limit is {str(limit)[:60]!r}; it is a whole number from 0 to {MOST_ROWS:,}"
        )
    for what, given in (("text", text), ("sort", sort or ""), ("after", after or "")):
        if not isinstance(given, str):
            raise errors.ParameterError(f"{what} is {type(given).__name__}; give text")
    check_moment(not_older_than, now)
    rows = [scope.rows(layout, tenant)]
    if visible is not None:
        rows.append(visible.condition)
    if text.strip():
        rows.append(words.condition(layout, text))
    wanted = _wanted(layout, filters)
    ordered = order.parse(layout, sort)
    fingerprint = msgspec.json.encode(
        (
            layout.counted.name,
            tenant,
            str(ordered),
            sorted((name, sorted(each, key=_null_last)) for name, each in wanted.items()),
            text.strip(),
            None if visible is None else visible.user,
        )
    )
    return Question(
        layout=layout,
        tenant=tenant,
        rows=condition.all_of(rows),
        filters={
            name: facet_filter.condition(layout, name, each, f"filter_{at}")
            for at, (name, each) in enumerate(wanted.items())
        },
        buckets=wanted,
        order=ordered,
        limit=limit,
        after=None if after is None else cursor.decode(after, fingerprint, signing_key),
        not_older_than=not_older_than,
        whole=len(rows) == 1,
        plain=len(rows) == 1 and not wanted,
        text=bool(text.strip()),
        fingerprint=fingerprint,
    )


def check_moment(not_older_than: datetime | None, now: datetime) -> None:
    """Raise `ParameterError` where no figures can be as new as that."""
    if not_older_than is None:
        return
    if not_older_than.tzinfo is None:
        raise errors.ParameterError("not_older_than has no time zone; give a moment in UTC")
    if not_older_than > now:
        raise errors.ParameterError(
            f"not_older_than is {not_older_than.isoformat()}, which is yet to come"
        )


def _wanted(layout: Layout, filters: Filters) -> dict[str, list[str | None]]:
    """The buckets wanted, by facet."""
    declared = layout.entity.facets
    for name in filters:
        if name not in declared:
            raise errors.ParameterError(
                f"{layout.counted.name} has no facet {name[:60]!r}"
                f"{suggestion.of(name, declared)}; declared are {', '.join(declared) or 'none'}"
            )
    return buckets(filters)


def buckets(filters: Filters) -> dict[str, list[str | None]]:
    """The names of the buckets wanted; a name that none is wanted of is left out."""
    found = {name: _named(name, wanted) for name, wanted in filters.items()}
    if sum(map(len, found.values())) > _MOST_VALUES:
        raise errors.ParameterError(f"more than {_MOST_VALUES:,} values are filtered by; name less")
    return {name: each for name, each in found.items() if each}


def _named(name: str, wanted: Value | Sequence[Value]) -> list[str | None]:
    many = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    return list(dict.fromkeys(_bucket(name, each) for each in many))


def _bucket(name: str, value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return values.text(value, f"filter {name}")
        case bool():
            return "true" if value else "false"
        case datetime():
            raise errors.ParameterError(f"filter {name}: give a day or a range of days")
        case date():
            return value.isoformat()
        case int() | Decimal():
            return str(value)
    raise errors.ParameterError(
        f"filter {name}: a value is {type(value).__name__}; give text, a number, a date or None"
    )


def _null_last(bucket: str | None) -> tuple[bool, str]:
    return bucket is None, bucket or ""


__all__ = [
    "MOST_ROWS",
    "Filters",
    "Question",
    "Value",
    "Visible",
    "buckets",
    "check_moment",
    "make",
]
