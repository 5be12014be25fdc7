"""Sharing rules as the CRM has them now; a rule that is not fully understood grants nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from reprlib import repr as short
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa

from crm_ops.base import errors, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import layout, predicate, query, seen, tenant_setting
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.predicate import Predicate

GranteeType = Literal["everyone", "role", "role_and_subordinates", "team", "user"]
Level = Literal["read_only", "read_write"]

_GRANTEE_TYPES = frozenset(get_args(GranteeType))
_LEVELS = frozenset(get_args(Level))


class Row(msgspec.Struct, frozen=True):
    """A row of `query.rules`, as PostgreSQL writes it in JSON."""

    tenant: str
    id: str
    name: str | None
    entity: str | None
    predicate: str | None
    grantee_type: str | None
    grantee: str | None
    level: str | None


_ROWS = msgspec.json.Decoder(list[Row])


class Rule(msgspec.Struct, frozen=True, array_like=True):
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


@dataclass(frozen=True)
class Loaded:
    """Rules by (tenant, entity), ordered by their keys; every wanted pair is there.

    `digests` are of the rows as the CRM has them, whether they are understood or not.
    """

    rules: Mapping[tuple[str, str], tuple[Rule, ...]]
    broken: tuple[Broken, ...]
    digests: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)


def load(
    connection: sa.Connection, catalog: Catalog, tenants: Sequence[str], entities: Sequence[str]
) -> Loaded:
    """The active sharing rules of `tenants` for `entities` of the catalog, read by one query.

    A wrong rule is reported, never raised. Raised is what keeps rules from being read at all:
    CatalogError for a missing table, PermissionMissing where policies hide rules from us.
    """
    known = layout.read(connection, catalog, entities)
    setting = known.setting
    if setting is None:
        return of_layout(connection, known, tenants, entities)
    rules: dict[tuple[str, str], tuple[Rule, ...]] = {}
    digests: dict[tuple[str, str], str] = {}
    broken: tuple[Broken, ...] = ()
    for tenant in dict.fromkeys(tenants):
        with tenant_setting.made(connection, setting, tenant):
            loaded = of_layout(connection, known, [tenant], entities)
        rules.update(loaded.rules)
        digests.update(loaded.digests)
        broken += loaded.broken
    return Loaded(rules, broken, digests)


def of_layout(
    connection: sa.Connection, known: Layout, tenants: Sequence[str], entities: Sequence[str]
) -> Loaded:
    """The same, where the tables are known; without regard to policies."""
    values = {
        "tenants": list(dict.fromkeys(tenants)),
        "wanted": list(entities),
        "known": list(known.catalog.entities),
    }
    # In one value: thousands of rows of eight texts each cost the driver more than the query.
    found = rows(sql.run(connection, query.rules_as_json(known), values).scalar_one())
    read, broken = understood(found, known)
    pairs = [(tenant, name) for tenant in tenants for name in entities]
    rules: dict[tuple[str, str], list[Rule]] = {pair: [] for pair in pairs}
    for tenant, rule in read:
        rules[tenant, rule.entity].append(rule)
    texts: dict[tuple[str, str], list[str | None]] = {pair: [] for pair in pairs}
    for row in found:
        # One of an entity that there is not grants nothing, and so hides nothing.
        texts.get((row.tenant, row.entity or ""), []).extend(msgspec.structs.astuple(row))
    return Loaded(
        {pair: tuple(each) for pair, each in rules.items()},
        tuple(broken),
        {pair: seen.digest(each) for pair, each in texts.items()},
    )


def rows(text: str) -> list[Row]:
    """The rows that `query.rules_as_json` wrote."""
    return _ROWS.decode(text)


def understood(found: Iterable[Row], known: Layout) -> tuple[list[tuple[str, Rule]], list[Broken]]:
    """The rules that rows hold, each with its tenant, and those that are wrong."""
    parse = _parser(known.kinds)
    read, broken = [], []
    for row in found:
        try:
            read.append((row.tenant, _rule(row, parse)))
        except errors.DataError as error:
            broken.append(Broken(row.tenant, row.id, str(error), row.name))
    return read, broken


def _parser(
    fields: Mapping[str, Mapping[str, Kind | None]],
) -> Callable[[str, str], Predicate]:
    """Reads the predicate of an entity's rule; one that serves many tenants is read once."""

    @cache
    def parse(entity: str, text: str) -> Predicate:
        if entity not in fields:
            raise errors.DataError(f"unknown entity {short(entity)}")
        return predicate.parse(text, fields[entity])

    return parse


def _rule(row: Any, parse: Callable[[str, str], Predicate]) -> Rule:
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


__all__ = ["Broken", "GranteeType", "Level", "Loaded", "Rule", "load", "of_layout", "understood"]
