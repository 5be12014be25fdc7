"""Says by which ways a user may see a record, or why not, from PostgreSQL alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from crm_ops.sharing import decision, lookup, viewer
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.lookup import Configuration
from crm_ops.sharing.rules import Broken, Level
from crm_ops.sharing.viewer import Grant, Viewer

_PAIRS_OF_TEXT = msgspec.json.Decoder(list[tuple[str, str]])
_PAIRS = msgspec.json.Decoder(list[tuple[str, int]])


@dataclass(frozen=True)
class Explanation:
    """What a user may do with a record: `level` is None for nothing, then `why_not` says why.

    `grants` are all the ways that lead there, `broken` the tenant's rules for the entity (and for
    none that exists) that are wrong and grant nothing.
    """

    level: Level | None
    grants: tuple[Grant, ...]
    why_not: tuple[str, ...]
    broken: tuple[Broken, ...]


@dataclass(frozen=True)
class Seer:
    """A user who may see a record, how far, and by which ways."""

    user: str
    level: Level
    grants: tuple[Grant, ...]


def of(
    connection: sa.Connection, layout: Layout, tenant: str, user: str, entity: str, record: str
) -> Explanation:
    """What `user` may do with `record`, and why."""
    values: dict[str, str | None] = {"tenant": tenant, "user": user, "record": record}
    text = decision.whole(layout, entity)
    row = lookup.everything(connection, layout, text, entity, values)
    known = lookup.configuration(layout, tenant, row)
    found = viewer.viewer(0, user, row.teams, known.people, known.rules)
    grants = _grants(layout, entity, found, row, row.share)
    why_not = () if grants else tuple(_why_not(entity, values, found, known, row))
    return Explanation(_level(grants), grants, why_not, known.broken)


def everyone(
    connection: sa.Connection, layout: Layout, tenant: str, entity: str, record: str
) -> list[Seer]:
    """The users of a tenant who may see `record`, in the order of their keys."""
    values: dict[str, str | None] = {"tenant": tenant, "user": None, "record": record}
    text = decision.everyone(layout, entity)
    row = lookup.everything(connection, layout, text, entity, values)
    known = lookup.configuration(layout, tenant, row)
    teams: dict[str, list[str]] = defaultdict(list)
    for user, team in _PAIRS_OF_TEXT.decode(row.members):
        teams[user].append(team)
    shares: dict[str, int] = {}
    for user, granted in _PAIRS.decode(row.shares):
        shares[user] = max(granted, shares.get(user, 0))
    seers = []
    for user, _, _ in known.people.users:
        found = viewer.viewer(0, user, teams[user], known.people, known.rules)
        grants = _grants(layout, entity, found, row, shares.get(user))
        level = _level(grants)
        if level is not None:
            seers.append(Seer(user, level, grants))
    return seers


def _grants(
    layout: Layout, entity: str, found: Viewer, row: sa.Row[Any], share: int | None
) -> tuple[Grant, ...]:
    if not row.there:
        return ()
    return tuple(found.grants(row.owner, share, lookup.cells(layout, entity, found, row)))


def _level(grants: tuple[Grant, ...]) -> Level | None:
    levels = [viewer.LEVELS[grant.level] for grant in grants]
    return viewer.NAMES[max(levels)] if levels else None


def _why_not(
    entity: str,
    values: dict[str, str | None],
    found: Viewer,
    known: Configuration,
    row: sa.Row[Any],
) -> list[str]:
    tenant, user, record = values["tenant"], values["user"], values["record"]
    if not row.there:
        return [f"tenant {tenant} has no {entity} {record}, or it is deleted"]
    if not found.active:
        there = user in {each for each, _, _ in known.people.users}
        return [f"user {user} is not active" if there else f"tenant {tenant} has no user {user}"]
    rules = len(known.rules.rules)
    return [
        "nobody owns the record" if row.owner is None else f"the record belongs to {row.owner}",
        f"their role {found.role} is not above the owner's" if found.role else "they have no role",
        f"the tenant's default is {known.people.default or 'private'}",
        "the record is not shared with them",
        f"of {rules} rules for {entity}, {len(found.granted)} are for them, and none matches",
    ]


__all__ = ["Explanation", "Seer", "everyone", "of"]
