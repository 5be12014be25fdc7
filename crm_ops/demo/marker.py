"""Says whose the schema `crm` is, and whether it is complete: a comment on the schema.

It is written first as begun and last as complete, so a demo whose making was cut short is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection

from crm_ops.base import sql, statements

_PREFIX = "CRM Ops demo: "


@dataclass(frozen=True)
class Marker:
    """A demo of the size named `size`, as of a day; `rows` per table as they were made."""

    size: str
    as_of: date
    complete: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)


def read(connection: Connection) -> Marker | None:
    """The marker of the schema `crm`; None where there is no schema or it is not the demo's."""
    text = sql.run(
        connection, statements.load("crm_ops.demo", "sql/schema.sql")["marker"]
    ).scalar_one_or_none()
    if text is None or not text.startswith(_PREFIX):
        return None
    fields = json.loads(text.removeprefix(_PREFIX))
    return Marker(**{**fields, "as_of": date.fromisoformat(fields["as_of"])})


def write(connection: Connection, marker: Marker) -> None:
    """Mark the schema `crm`, in place of what it was marked with."""
    fields = {**vars(marker), "as_of": marker.as_of.isoformat(), "rows": dict(marker.rows)}
    comment = sql.literal(_PREFIX + json.dumps(fields))
    sql.run(connection, f"COMMENT ON SCHEMA crm IS {comment}")


__all__ = ["Marker", "read", "write"]
