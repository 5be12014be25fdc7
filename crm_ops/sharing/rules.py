"""Sharing rules as the CRM has them now; a rule that is not fully understood grants nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from reprlib import repr as short
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa

from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import SingleTenancy, Tenancy
from crm_ops.sharing import kinds, predicate, query
from crm_ops.sharing.predicate import Predicate
from crm_ops.sources import tables
from crm_ops.sources.tables import Table

GranteeType = Literal["everyone", "role", "role_and_subordinates", "team", "user"]
Level = Literal["read_only", "read_write"]

_GRANTEE_TYPES = frozenset(get_args(GranteeType))
_LEVELS = frozenset(get_args(Level))


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """Records of `entity` that match `predicate` are open to the grantee, to this level.

    `id` and `grantee` are the CRM's keys as text; `grantee` is None for everyone.
    """

    id: str
    entity: str
    predicate: Predicate
    grantee_type: GranteeType
    grantee: str | None
    level: Level


@dataclass(frozen=True)
class Broken:
    """A rule that grants nothing, and why."""

    tenant: str
    rule: str
    why: str


@dataclass(frozen=True)
class Loaded:
    """Rules by (tenant, entity), ordered by their keys; every wanted pair is there."""

    rules: Mapping[tuple[str, str], tuple[Rule, ...]]
    broken: tuple[Broken, ...]


def load(
    connection: sa.Connection, catalog: Catalog, tenants: Sequence[str], entities: Sequence[str]
) -> Loaded:
    """The active sharing rules of `tenants` for `entities` of the catalog, read by one query.

    A wrong rule is reported, never raised. Raised is what keeps rules from being read at all:
    CatalogError for a missing table, PermissionMissing where policies hide rules from us.
    """
    if catalog.sharing is None:
        raise errors.ParameterError("the catalog declares no sharing rules")
    source = catalog.sharing.rules
    records = {name: Relation.parse(catalog.entities[name].table) for name in entities}
    stored, *found = _tables(connection, [Relation.parse(source.table), *records.values()])
    parse = _parser(dict(zip(records, found, strict=True)))
    text = query.text(source, catalog.tenancy, stored.columns.get(source.tenant, "text"))
    rules: dict[tuple[str, str], list[Rule]] = {
        (tenant, name): [] for tenant in tenants for name in entities
    }
    broken = []
    for scope in _scopes(connection, stored, catalog.tenancy, tenants):
        values = {"tenants": scope, "wanted": list(entities), "known": list(catalog.entities)}
        for row in sql.run(connection, text, values).all():
            try:
                rule = _rule(row, parse)
            except errors.DataError as error:
                broken.append(Broken(row.tenant, row.id, str(error)))
            else:
                rules[row.tenant, rule.entity].append(rule)
    return Loaded({pair: tuple(each) for pair, each in rules.items()}, tuple(broken))


def _tables(connection: sa.Connection, relations: Sequence[Relation]) -> list[Table]:
    found = tables.inspect(connection, relations)
    missing = sorted({str(relation) for relation in relations if relation not in found})
    if missing:
        raise errors.CatalogError([f"the table {name} is not there" for name in missing])
    return [found[relation] for relation in relations]


def _scopes(
    connection: sa.Connection, stored: Table, tenancy: Tenancy, tenants: Sequence[str]
) -> Iterator[list[str]]:
    """All tenants at once; one at a time, under its setting, where policies apply to our role."""
    once = list(dict.fromkeys(tenants))
    if not stored.row_security:
        yield once
        return
    setting = None if isinstance(tenancy, SingleTenancy) else tenancy.setting
    if setting is None:
        raise errors.PermissionMissing(
            f"our database role sees only what policies of {stored.relation} show it; grant it"
            " BYPASSRLS, or declare tenancy.setting in the catalog"
        )
    for tenant in once:
        sql.run(
            connection,
            "SELECT set_config(%(setting)s, %(tenant)s, true)",
            setting=setting,
            tenant=tenant,
        )
        yield [tenant]


def _parser(entities: Mapping[str, Table]) -> Callable[[str, str], Predicate]:
    """Reads the predicate of an entity's rule; one that serves many tenants is read once."""
    fields = {
        name: {column: kinds.kind(of) for column, of in table.columns.items()}
        for name, table in entities.items()
    }

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
    return Rule(row.id, row.entity, condition, row.grantee_type, row.grantee, row.level)


__all__ = ["Broken", "GranteeType", "Level", "Loaded", "Rule", "load"]
