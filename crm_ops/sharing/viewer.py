"""What one user may do with the records of one entity, at one version of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_ops.sharing import compiled
from crm_ops.sharing.compiled import Test
from crm_ops.sharing.people import People
from crm_ops.sharing.predicate import Condition, Predicate
from crm_ops.sharing.rules import Level, Rule

NOTHING, READ, WRITE = 0, 1, 2

LEVELS: Mapping[str, int] = {"read_only": READ, "read_write": WRITE}
_DEFAULTS = {"public_read": READ, "public_read_write": WRITE}
NAMES: Mapping[int, Level] = {READ: "read_only", WRITE: "read_write"}


@dataclass(frozen=True)
class Rules:
    """The rules of a tenant for an entity, the fields they test, and a function for each."""

    rules: tuple[Rule, ...]
    fields: tuple[str, ...]
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Grant:
    """One way by which a user may do something with a record; `rule` is the key of a rule."""

    level: Level
    way: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """What decides for a user: `granted` are the rules for them, those that grant most first."""

    version: int
    user: str
    active: bool
    floor: int
    role: str | None
    bosses: Mapping[str, frozenset[str]]
    fields: tuple[str, ...]
    granted: tuple[tuple[int, Test, Rule], ...]

    def may(self, wanted: int, owner: str | None, share: int | None, cells: Sequence[Any]) -> bool:
        """Whether they may do it with a record of `owner` whose cells are those of `fields`.

        `share` is what the record was shared for with this user.
        """
        if not self.active:
            return False
        if self.floor >= wanted or (share is not None and share >= wanted):
            return True
        if owner is not None and (owner == self.user or self.role in self.bosses.get(owner, ())):
            return True
        for level, test, _ in self.granted:
            if level < wanted:
                return False
            if test(cells):
                return True
        return False

    def grants(self, owner: str | None, share: int | None, cells: Sequence[Any]) -> Iterator[Grant]:
        """Every way that leads to a record, for those who ask why."""
        if not self.active:
            return
        if owner is not None and owner == self.user:
            yield Grant("read_write", "owns the record")
        elif owner is not None and self.role in self.bosses.get(owner, ()):
            yield Grant("read_write", f"has a role above that of the owner {owner}")
        if self.floor:
            yield Grant(NAMES[self.floor], "the tenant's default opens all records to its users")
        if share:
            yield Grant(NAMES[share], "the record is shared with them")
        for level, test, rule in self.granted:
            if test(cells):
                yield Grant(NAMES[level], f"{rule.title} for {_grantee(rule)}", rule.id)


def rules(found: Sequence[Rule]) -> Rules:
    """The rules made ready for use."""
    fields = tuple(sorted({name for rule in found for name in _fields(rule.predicate)}))
    places = {name: at for at, name in enumerate(fields)}
    tests = tuple(compiled.test(rule.predicate, places) for rule in found)
    return Rules(tuple(found), fields, tests)


def viewer(version: int, user: str, teams: Sequence[str], people: People, known: Rules) -> Viewer:
    """What decides for `user`, who is in `teams`."""
    role = people.role_of.get(user)
    found = [
        (LEVELS[rule.level], test, rule)
        for rule, test in zip(known.rules, known.tests, strict=True)
        if _concerns(rule, user, role, teams, people)
    ]
    return Viewer(
        version=version,
        user=user,
        active=user in people.active,
        floor=_DEFAULTS.get(people.default or "", NOTHING),
        role=role,
        bosses=people.bosses if role is not None else {},
        fields=known.fields,
        granted=tuple(sorted(found, key=lambda each: -each[0])),
    )


def _fields(predicate: Predicate) -> Iterator[str]:
    if isinstance(predicate, Condition):
        yield predicate.field
        return
    for part in predicate.parts:
        yield from _fields(part)


def _concerns(
    rule: Rule, user: str, role: str | None, teams: Sequence[str], people: People
) -> bool:
    match rule.grantee_type:
        case "everyone":
            return True
        case "user":
            return rule.grantee == user
        case "team":
            return rule.grantee in teams
        case "role":
            return role is not None and rule.grantee == role
        case "role_and_subordinates":
            return role is not None and (
                rule.grantee == role or rule.grantee in people.above.get(role, ())
            )


def _grantee(rule: Rule) -> str:
    named = rule.grantee_type.replace("_", " ")
    return named if rule.grantee is None else f"{named} {rule.grantee}"


__all__ = ["LEVELS", "NAMES", "Grant", "Rules", "Viewer", "rules", "viewer"]
