"""Finds what was changed past the triggers: another configuration at the very same epoch.

Each warming notes a digest of what it saw and the epoch it was of. Digests are of the CRM's own
rows, so that a new release reads the same one.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.base.statements import load

_log = logging.getLogger(__name__)

PEOPLE = "users, roles and default"
MEMBERS = "members of teams"


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A part of a tenant's configuration, its digest, and the epoch (`version`) it was of."""

    tenant: str
    part: str
    version: int
    digest: str


# By tenant and part, the epoch and the digest that the last warming saw.
Noted = Mapping[tuple[str, str], tuple[int, str]]


@dataclass(frozen=True)
class Compared:
    """What is not as the last warming noted it.

    `bypassed` are by tenant the parts that differ at the same epoch; `moved` tenants have another
    epoch, those seen for the first time not counted; `unlike` is to be noted.
    """

    bypassed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    moved: int = 0
    unlike: tuple[Seen, ...] = ()


def rules(entity: str) -> str:
    """The name of the part that holds the rules of an entity."""
    return f"rules for {entity}"


def digest(texts: Iterable[str | None]) -> str:
    """Of texts in their order; none of them runs into the next."""
    # PostgreSQL holds no NUL in a text.
    parts = ["\0\0" if text is None else text + "\0" for text in texts]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def compare(found: Sequence[Seen], noted: Noted) -> Compared:
    """What was found, beside what the last warming noted."""
    unlike = [
        each for each in found if noted.get((each.tenant, each.part)) != (each.version, each.digest)
    ]
    parts: dict[str, list[str]] = defaultdict(list)
    moved = set()
    for each in sorted(unlike, key=lambda each: (each.tenant, each.part)):
        before = noted.get((each.tenant, each.part))
        if before is None:
            continue
        if before[0] == each.version:
            # Only a bypass can have changed it.
            parts[each.tenant].append(each.part)
        else:
            moved.add(each.tenant)
    return Compared(bypassed=dict(parts), moved=len(moved), unlike=tuple(unlike))


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


def note(engine: sa.Engine, found: Sequence[Seen]) -> None:
    """Note what was seen in place of what was before."""
    if found:
        with database.transaction(engine) as connection:
            sql.run(connection, load("crm_ops.sharing")["note_seen"], _bound(found))


def _bound(found: Sequence[Seen]) -> dict[str, str]:
    return {"seen": msgspec.json.encode(found).decode()}


__all__ = [
    "MEMBERS",
    "PEOPLE",
    "Compared",
    "Noted",
    "Seen",
    "compare",
    "digest",
    "note",
    "repair",
    "rules",
]
