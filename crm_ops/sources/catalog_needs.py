"""Lists what a catalog needs of the CRM's tables."""

from __future__ import annotations

from collections.abc import Iterator

from crm_ops.base.sql import Relation
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.audit import Audit
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.document import Keys
from crm_ops.catalog.entities import ColumnTenancy, Entity, Tenancy
from crm_ops.catalog.facets import (
    DateFacet,
    Facet,
    JsonFacet,
    LinkFacet,
    LookupFacet,
    RangesFacet,
)
from crm_ops.catalog.sharing import Rules, Sharing
from crm_ops.sources.needs import (
    BOOLEAN,
    JSON,
    MOMENT,
    NUMBER,
    ORDERED,
    TEXT,
    Column,
    Filter,
    Kind,
    Match,
    Months,
    Need,
    Table,
)


def of(catalog: Catalog) -> Iterator[Need]:
    """Everything that `catalog` needs."""
    if isinstance(catalog.tenancy, ColumnTenancy):
        relation = Relation.parse(catalog.tenancy.table)
        yield Table(("tenancy", "table"), relation)
        yield _tenant_key(catalog.tenancy)
        yield Filter(("tenancy", "where"), relation, catalog.tenancy.where)
    for name, entity in catalog.entities.items():
        yield from _entity(("entities", name), entity, catalog.tenancy)
    for name, aggregate in catalog.aggregates.items():
        relation = Relation.parse(catalog.entities[aggregate.entity].table)
        yield from _aggregate(("aggregates", name), aggregate, relation)
    if catalog.audit is not None:
        yield from _audit(("audit",), catalog.audit)
    if catalog.sharing is not None:
        yield from _rules(("sharing", "rules"), catalog.sharing.rules, catalog.tenancy)
        yield from _organisation(("sharing",), catalog.sharing, catalog.tenancy)


def _tenant_key(tenancy: ColumnTenancy) -> Column:
    return Column(("tenancy", "key"), Relation.parse(tenancy.table), tenancy.key)


def _entity(keys: Keys, entity: Entity, tenancy: Tenancy) -> Iterator[Need]:
    relation = Relation.parse(entity.table)
    yield Table((*keys, "table"), relation)
    for part in ("key", "created", "updated", "owner"):
        column = getattr(entity, part)
        if column is not None:
            yield Column((*keys, part), relation, column)
    if entity.tenant is not None and isinstance(tenancy, ColumnTenancy):
        tenant = Column((*keys, "tenant"), relation, entity.tenant)
        yield from (tenant, Match(tenant, _tenant_key(tenancy)))
    yield Filter((*keys, "where"), relation, entity.where)
    for name, facet in entity.facets.items():
        yield from _facet((*keys, "facets", name), facet, entity)
    for name, dimension in entity.dimensions.items():
        yield from _facet((*keys, "dimensions", name), dimension, entity)
    for part, kind in (("columns", None), ("sort", ORDERED), ("text", TEXT)):
        for at, column in enumerate(getattr(entity.search, part)):
            yield Column((*keys, "search", part, at), relation, column, kind)


def _facet(keys: Keys, facet: Facet, entity: Entity) -> Iterator[Need]:
    relation = Relation.parse(entity.table)
    if isinstance(facet, LinkFacet):
        yield from _link(keys, facet, Column((*keys, "parent"), relation, entity.key))
        return
    column = Column((*keys, "column"), relation, facet.column, _kind(facet))
    yield column
    if isinstance(facet, LookupFacet):
        yield from _labels(keys, column, facet.table, ("key", facet.key), ("label", facet.label))


def _kind(facet: Facet) -> Kind | None:
    match facet:
        case RangesFacet():
            return NUMBER
        case DateFacet():
            return MOMENT
        case JsonFacet():
            return JSON
    return None


def _link(keys: Keys, facet: LinkFacet, entity_key: Column) -> Iterator[Need]:
    relation = Relation.parse(facet.table)
    parent = Column((*keys, "parent"), relation, facet.parent)
    column = Column((*keys, "column"), relation, facet.column)
    yield from (Table((*keys, "table"), relation), parent, Match(parent, entity_key), column)
    if facet.label_table is not None and facet.label is not None:
        key, label = ("label_key", facet.label_key), ("label", facet.label)
        yield from _labels(keys, column, facet.label_table, key, label)


def _labels(
    keys: Keys, column: Column, table: str, key: tuple[str, str], label: tuple[str, str]
) -> Iterator[Need]:
    """The table that `column` is looked up in; `key` and `label` with their names in the file."""
    relation = Relation.parse(table)
    named = "label_table" if key[0] == "label_key" else "table"
    looked_up = Column((*keys, key[0]), relation, key[1])
    yield Table((*keys, named), relation)
    yield from (looked_up, Match(column, looked_up))
    yield Column((*keys, label[0]), relation, label[1])


def _aggregate(keys: Keys, aggregate: Aggregate, relation: Relation) -> Iterator[Need]:
    if aggregate.currency is not None:
        yield Column((*keys, "currency"), relation, aggregate.currency)
    for name, measure in aggregate.measures.items():
        if measure.column is not None:
            place = (*keys, "measures", name, measure.function)
            yield Column(place, relation, measure.column, NUMBER)


def _audit(keys: Keys, audit: Audit) -> Iterator[Need]:
    relation = Relation.parse(audit.table)
    yield Table((*keys, "table"), relation)
    yield Column((*keys, "time"), relation, audit.time, MOMENT)
    yield Column((*keys, "key"), relation, audit.key)
    if audit.tenant is not None:
        yield Column((*keys, "tenant"), relation, audit.tenant)
    for at, column in enumerate(audit.object):
        yield Column((*keys, "object", at), relation, column)
    yield Months((*keys, "time"), relation, audit.time)


def _rules(keys: Keys, rules: Rules, tenancy: Tenancy) -> Iterator[Need]:
    relation = Relation.parse(rules.table)
    yield Table((*keys, "table"), relation)
    for part in ("key", "entity", "predicate", "grantee_type", "grantee", "level"):
        yield Column((*keys, part), relation, getattr(rules, part))
    if rules.name is not None:
        yield Column((*keys, "name"), relation, rules.name)
    yield Column((*keys, "active"), relation, rules.active, BOOLEAN)
    if isinstance(tenancy, ColumnTenancy):
        tenant = Column((*keys, "tenant"), relation, rules.tenant)
        yield from (tenant, Match(tenant, _tenant_key(tenancy)))


def _organisation(keys: Keys, sharing: Sharing, tenancy: Tenancy) -> Iterator[Need]:
    """Users, roles, teams, shares and defaults, as far as they are declared."""
    parts = {
        "users": ("key", "role"),
        "roles": ("key", "parent"),
        "members": ("team", "user"),
        "shares": ("entity", "record", "user", "level"),
        "tenant_default": ("access",),
    }
    for name, columns in parts.items():
        part = getattr(sharing, name)
        if part is None:
            continue
        relation = Relation.parse(part.table)
        yield Table((*keys, name, "table"), relation)
        for column in columns:
            if getattr(part, column) is not None:
                yield Column((*keys, name, column), relation, getattr(part, column))
        if hasattr(part, "tenant") and isinstance(tenancy, ColumnTenancy):
            tenant = Column((*keys, name, "tenant"), relation, part.tenant)
            yield from (tenant, Match(tenant, _tenant_key(tenancy)))
    yield from _keys_of_users(keys, sharing)


def _keys_of_users(keys: Keys, sharing: Sharing) -> Iterator[Need]:
    """Where users and roles are referred to, the types must agree."""
    if sharing.users is None:
        return
    users = Relation.parse(sharing.users.table)
    user = Column((*keys, "users", "key"), users, sharing.users.key)
    if sharing.users.active is not None:
        yield Column((*keys, "users", "active"), users, sharing.users.active, BOOLEAN)
    for name in ("members", "shares"):
        part = getattr(sharing, name)
        if part is not None:
            place = (*keys, name, "user")
            yield Match(Column(place, Relation.parse(part.table), part.user), user)
    if sharing.roles is not None:
        roles = Relation.parse(sharing.roles.table)
        role = Column((*keys, "roles", "key"), roles, sharing.roles.key)
        yield Match(Column((*keys, "roles", "parent"), roles, sharing.roles.parent), role)
        if sharing.users.role is not None:
            yield Match(Column((*keys, "users", "role"), users, sharing.users.role), role)


__all__ = ["of"]
