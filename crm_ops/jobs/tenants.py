"""How fresh the figures of each tenant are, and when they were last proved: one page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from crm_ops.base import errors, sql, statements
from crm_ops.fold.definition import Kind

Sort = Literal["as_of", "proved_at", "counted", "tenant"]

# What is worst comes first: the oldest figures, who was never proved, the largest tenant.
_ORDERS: dict[Sort, str] = {
    "as_of": "as_of",
    "proved_at": "proved_at NULLS FIRST",
    "counted": "counted DESC",
    "tenant": "true",
}
_MOST = 200


@dataclass(frozen=True)
class Figures:
    """A tenant's figures of one kind of an entity, made of `counted` rows, exact as of `as_of`."""

    kind: Kind
    entity: str
    counted: int
    as_of: datetime
    proved_at: datetime | None


@dataclass(frozen=True)
class Tenant:
    """A tenant with the oldest moment and the oldest proof among its figures.

    `counted` rows are those of all its entities; `proved_at` is None where a part was never proved.
    """

    tenant: str
    as_of: datetime
    proved_at: datetime | None
    counted: int
    figures: tuple[Figures, ...]


@dataclass(frozen=True)
class Page:
    """Some tenants of the `total` that were searched for, as of `read_at`."""

    tenants: tuple[Tenant, ...]
    total: int
    read_at: datetime


def read(
    connection: sa.Connection,
    *,
    now: datetime,
    search: str = "",
    sort: Sort = "as_of",
    offset: int = 0,
    limit: int = 25,
) -> Page:
    """The tenants whose key holds `search`, in the order of `sort`, `limit` of them from `offset`.

    Raises ParameterError where the order is unknown, the page has no sensible size, or nothing can
    match.
    """
    if sort not in _ORDERS:
        raise errors.ParameterError(
            f"tenants are not sorted by {sort!r}; there are {', '.join(_ORDERS)}"
        )
    if not 1 <= limit <= _MOST or offset < 0:
        raise errors.ParameterError(f"a page holds 1 to {_MOST} tenants, from 0 on")
    if "\0" in search:
        raise errors.ParameterError("no tenant's key holds a NUL, so none can be searched for")
    statement = statements.load("crm_ops.jobs")["tenants"].replace("@order", _ORDERS[sort])
    rows = sql.run(connection, statement, search=search, limit=limit, offset=offset).all()
    return Page(tuple(_tenant(row) for row in rows), rows[0].total if rows else 0, now)


def _tenant(row: Any) -> Tenant:
    figures = msgspec.convert(row.figures, tuple[Figures, ...])
    return Tenant(row.tenant, row.as_of, row.proved_at, row.counted, figures)


__all__ = ["Figures", "Page", "Sort", "Tenant", "read"]
