"""Who stands in the way of a lock: pid, application, state and age, for the person who must act."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation

# PostgreSQL's table of conflicts, for the modes that we ask for; each holds the one before.
_UPDATE = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_SHARE_ROW = ("RowExclusiveLock", *_UPDATE)
_ALL = ("AccessShareLock", "RowShareLock", *_SHARE_ROW)
_CONFLICTING = {
    "ACCESS SHARE": ("AccessExclusiveLock",),
    "SHARE UPDATE EXCLUSIVE": _UPDATE,
    "SHARE ROW EXCLUSIVE": _SHARE_ROW,
    "ACCESS EXCLUSIVE": _ALL,
}


@dataclass(frozen=True)
class Blocker:
    """One session; a prepared transaction has no `pid`, what our role may not see is None."""

    pid: int | None
    role: str | None
    application: str | None
    state: str | None
    age_s: int | None


def read(connection: sa.Connection, locks: Sequence[tuple[Relation, str]]) -> list[Blocker]:
    """Those who hold what conflicts with `locks` (table and mode), the oldest transaction first."""
    wanted = [
        {"schema": table.schema, "name": table.name, "conflicting": _CONFLICTING[mode]}
        for table, mode in locks
    ]
    found = sql.run(
        connection, statements.load("crm_ops.audit")["blockers"], locks=json.dumps(wanted)
    )
    return [Blocker(**row) for row in found.mappings()]


def told(blockers: Sequence[Blocker]) -> str:
    """The blockers in words."""
    if not blockers:
        return "those who held it are gone by now"
    return ", ".join(_told(each) for each in blockers) + " held it; end or wait for them"


def _told(blocker: Blocker) -> str:
    if blocker.pid is None:
        return "a prepared transaction (see pg_prepared_xacts)"
    state = blocker.state or "in a state that pg_read_all_stats would show"
    age = f" for {blocker.age_s} s" if blocker.age_s is not None else ""
    application = blocker.application or "unnamed"
    return f"pid {blocker.pid} (application {application!r}, role {blocker.role}, {state}{age})"


__all__ = ["Blocker", "read", "told"]
