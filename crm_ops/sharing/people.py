"""The users of a tenant, their roles, and what all of them may do: from which hierarchy follows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec


class People(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """A tenant's default, its users (key, role, whether active) and its roles (key, the one above).

    Keys are text; the default is as the CRM has it, None where it has none.
    """

    default: str | None
    users: tuple[tuple[str, str | None, bool], ...]
    roles: tuple[tuple[str, str | None], ...]

    @cached_property
    def active(self) -> frozenset[str]:
        """The users who may work."""
        return frozenset(user for user, _, active in self.users if active)

    @cached_property
    def role_of(self) -> Mapping[str, str]:
        """The role of each user who has one."""
        return {user: role for user, role, _ in self.users if role is not None}

    @cached_property
    def above(self) -> Mapping[str, frozenset[str]]:
        """By role, the roles above it; not itself, even where the parents go round in a circle."""
        parents = dict(self.roles)
        return {role: _above(role, parents) for role in parents}

    @cached_property
    def bosses(self) -> Mapping[str, frozenset[str]]:
        """By user, the roles above theirs: who holds one of them sees what this user owns."""
        return {user: self.above[role] for user, role in self.role_of.items() if role in self.above}

    def below(self, role: str) -> list[str]:
        """The users whose roles are below `role`."""
        return [user for user, bosses in self.bosses.items() if role in bosses]


def read(text: str | bytes) -> People:
    """The people that `query.people` wrote."""
    return msgspec.json.decode(text, type=People)


def _above(role: str, parents: Mapping[str, str | None]) -> frozenset[str]:
    found: set[str] = set()
    parent = parents[role]
    while parent is not None and parent not in found and parent != role:
        found.add(parent)
        parent = parents.get(parent)
    return frozenset(found)


__all__ = ["People", "read"]
