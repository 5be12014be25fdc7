"""Finds what was changed past the triggers: another configuration at the very same epoch.

Each warming notes a digest of what it saw and the epoch it was of. Digests are of the CRM's own
rows, so that a new release reads the same one.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.base.statements import load

_log = logging.getLogger(__name__)

PEOPLE = "users, roles and default"
MEMBERS = "members of teams"


@dataclass(frozen=True)
class Seen:
    """A part of a tenant's configuration, its digest, and the epoch (`version`) it was of."""

    tenant: str
    part: str
    version: int
    digest: str


def rules(entity: str) -> str:
    """The name of the part that holds the rules of an entity."""
    return f"rules for {entity}"


def digest(texts: Iterable[str | None]) -> str:
    """Of texts in their order; none of them runs into the next."""
    found = hashlib.sha256()
    for text in texts:
        # PostgreSQL holds no NUL in a text.
        found.update(b"\0\0" if text is None else text.encode() + b"\0")
    return found.hexdigest()


def bypassed(engine: sa.Engine, found: Sequence[Seen]) -> dict[str, list[str]]:
    """By tenant, the parts that differ though their epoch is that of the last warming."""
    with database.transaction(engine) as connection:
        rows = sql.run(connection, load("crm_ops.sharing")["bypassed"], _bound(found)).all()
    parts: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        parts[row.tenant].append(row.part)
    return dict(parts)


def repair(engine: sa.Engine, parts: Mapping[str, Sequence[str]]) -> None:
    """Move the epochs of tenants, so that nothing remembered of them is used any more."""
    with database.transaction(engine) as connection:
        sql.run(connection, load("crm_ops.sharing")["move_tenants"], tenants=list(parts))
    for tenant, named in parts.items():
        _log.error(
            "the %s of tenant %s were changed past their triggers; everybody reads them anew",
            ", ".join(named),
            tenant,
            extra={"action": "sharing_repaired", "tenant": tenant},
        )


def note(engine: sa.Engine, found: Sequence[Seen]) -> int:
    """Note what was seen in place of what was before; returns the tenants whose epoch had moved.

    A tenant that is seen for the first time is not one of them.
    """
    with database.transaction(engine) as connection:
        moved = sql.run(connection, load("crm_ops.sharing")["moved_since"], _bound(found))
        count = int(moved.scalar_one())
        sql.run(connection, load("crm_ops.sharing")["note_seen"], _bound(found))
    return count


def _bound(found: Sequence[Seen]) -> dict[str, list[str] | list[int]]:
    return {
        "tenants": [each.tenant for each in found],
        "parts": [each.part for each in found],
        "versions": [each.version for each in found],
        "digests": [each.digest for each in found],
    }


__all__ = ["MEMBERS", "PEOPLE", "Seen", "bypassed", "digest", "note", "repair", "rules"]
