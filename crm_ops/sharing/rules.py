"""Sharing rules as the CRM has them now; a rule that is not fully understood grants nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from reprlib import repr as short
from typing import Any, Literal, get_args

import msgspec

from crm_ops.base import errors
from crm_ops.sharing import predicate
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.predicate import Predicate

GranteeType = Literal["everyone", "role", "role_and_subordinates", "team", "user"]
Level = Literal["read_only", "read_write"]

_GRANTEE_TYPES = frozenset(get_args(GranteeType))
_LEVELS = frozenset(get_args(Level))


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rule as the CRM has it, all of it text."""

    id: str
    name: str | None
    entity: str | None
    predicate: str | None
    grantee_type: str | None
    grantee: str | None
    level: str | None


Parser = Callable[[str | None, str], Predicate]

_ROWS = msgspec.json.Decoder(list[Row])


class Rule(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Records of `entity` that match `predicate` are open to the grantee, to this level.

    `id` and `grantee` are the CRM's keys as text; `grantee` is None for everyone. `name` is what
    people call the rule, None where the catalog does not say.
    """

    id: str
    entity: str
    predicate: Predicate
    grantee_type: GranteeType
    grantee: str | None
    level: Level
    name: str | None = None

    @property
    def title(self) -> str:
        """The rule as people know it."""
        return _title(self.id, self.name)


@dataclass(frozen=True)
class Broken:
    """A rule that grants nothing, and why; `rule` is its key."""

    tenant: str
    rule: str
    why: str
    name: str | None = None

    @property
    def title(self) -> str:
        """The rule as people know it."""
        return _title(self.rule, self.name)


def rows(text: str) -> list[Row]:
    """The rows that `query.rules` wrote."""
    return _ROWS.decode(text)


def understood(tenant: str, found: Iterable[Row], parse: Parser) -> tuple[list[Rule], list[Broken]]:
    """The rules that a tenant's rows hold, and those that are wrong."""
    read, broken = [], []
    for row in found:
        try:
            read.append(_rule(row, parse))
        except errors.DataError as error:
            broken.append(Broken(tenant, row.id, str(error), row.name))
    return read, broken


def parser(known: Layout) -> Parser:
    """Reads the predicate of an entity's rule; one that serves many tenants is read once."""
    fields = known.kinds

    @cache
    def parse(entity: str | None, text: str) -> Predicate:
        if entity is None or entity not in fields:
            raise errors.DataError(f"unknown entity {short(entity)}")
        return predicate.parse(text, fields[entity])

    return parse


def _rule(row: Any, parse: Parser) -> Rule:
    condition = parse(row.entity, row.predicate or "")
    if row.grantee_type not in _GRANTEE_TYPES:
        raise errors.DataError(f"unknown grantee type {short(row.grantee_type)}")
    if (row.grantee_type == "everyone") != (row.grantee is None):
        raise errors.DataError(f"grantee type {row.grantee_type} with grantee {row.grantee}")
    if row.level not in _LEVELS:
        raise errors.DataError(f"unknown level {short(row.level)}")
    return Rule(row.id, row.entity, condition, row.grantee_type, row.grantee, row.level, row.name)


def _title(key: str, name: str | None) -> str:
    return f"rule {key}" if name is None else f'rule "{name}" ({key})'


__all__ = [
    "Broken",
    "GranteeType",
    "Level",
    "Parser",
    "Row",
    "Rule",
    "parser",
    "rows",
    "understood",
]
