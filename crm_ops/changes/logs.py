"""Derives the change logs of an entity from the catalog: one of its table, one of each link table.

A log holds what facets and aggregates need of a row, with its sign: +1 came to be, -1 ceased to be.
Rows that the catalog's filter leaves out are not logged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import errors, names, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy, Entity
from crm_ops.catalog.facets import LinkFacet
from crm_ops.sources import filters, tables

# Names that no column of a CRM has.
SIGN = "crm_ops.sign"
AT = "crm_ops.at"

_MODIFIER = re.compile(r"\(\d+(,\d+)?\)")
# Only these keep a value's text whatever was declared of their length.
_UNBOUNDED = ("numeric", "character varying", "timestamp", "time")


@dataclass(frozen=True)
class Log:
    """A log table of ours and what it follows.

    `columns` are the logged columns with their types in the log; `watched` all columns that the
    trigger reads; `condition` says of a row `r` whether it is logged.
    """

    entity: str
    facet: str | None
    relation: Relation
    source: Relation
    columns: Mapping[str, str]
    watched: tuple[str, ...]
    condition: str


def read(connection: sa.Connection, catalog: Catalog, name: str) -> list[Log]:
    """The logs of the entity called `name`, of its own table first.

    Raises `DatabaseRefused` where a table or a column is not there.
    """
    wanted = list(_tables(catalog.entities[name]))
    return list(_logs(catalog, name, tables.inspect(connection, wanted)))


def parts(catalog: Catalog, name: str, columns: Collection[str]) -> list[str]:
    """The facets and aggregates of an entity that are counted by some of `columns`."""
    entity, splits = catalog.entities[name], catalog.entities[name].splits()
    by = {
        each: {entity.key if isinstance(facet, LinkFacet) else facet.column}
        for each, facet in splits.items()
    }
    found = {each for each in entity.facets if by[each] & set(columns)}
    for each, aggregate in catalog.aggregates.items():
        if aggregate.entity == name:
            used = {*aggregate.columns(), aggregate.currency}
            if used.union(*(by[one] for one in aggregate.by)) & set(columns):
                found.add(each)
    whose = entity.tenant in columns
    return sorted({*entity.facets, *catalog.aggregates} if whose else found)


def relation(entity: str, facet: str | None = None) -> Relation:
    """The log of an entity's own table, or of the link table of one of its facets."""
    # No name of the catalog holds a dot: the parts cannot be taken for another entity's.
    own = (names.OWN_LOG, entity) if facet is None else (names.LINK_LOG, f"{entity}.{facet}")
    return Relation(names.SCHEMA, names.bounded(*own))


def _tables(entity: Entity) -> Iterator[Relation]:
    yield Relation.parse(entity.table)
    for facet in entity.facets.values():
        if isinstance(facet, LinkFacet):
            yield Relation.parse(facet.table)


def _logs(catalog: Catalog, name: str, found: Mapping[Relation, tables.Table]) -> Iterator[Log]:
    entity = catalog.entities[name]
    filtered = tuple(entity.where)
    yield _log(
        name,
        None,
        _table(found, entity.table),
        tuple(dict.fromkeys(_columns(catalog, name))),
        filtered,
        filters.condition(entity.where, "r."),
    )
    for facet_name, facet in entity.facets.items():
        if isinstance(facet, LinkFacet):
            columns = tuple(dict.fromkeys((facet.parent, facet.column)))
            kept = f"r.{sql.identifier(facet.column)} IS NOT NULL"
            yield _log(name, facet_name, _table(found, facet.table), columns, (), kept)


def _columns(catalog: Catalog, name: str) -> Iterator[str]:
    entity = catalog.entities[name]
    # Bitmaps hold rows, not numbers: they must know which row changed.
    yield entity.key
    if isinstance(catalog.tenancy, ColumnTenancy) and entity.tenant is not None:
        yield entity.tenant
    for facet in entity.splits().values():
        if not isinstance(facet, LinkFacet):
            yield facet.column
    for aggregate in catalog.aggregates.values():
        if aggregate.entity == name:
            yield from aggregate.columns()
            if aggregate.currency is not None:
                yield aggregate.currency


def _log(
    entity: str,
    facet: str | None,
    table: tables.Table,
    columns: tuple[str, ...],
    filtered: tuple[str, ...],
    condition: str,
) -> Log:
    missing = [column for column in (*columns, *filtered) if column not in table.columns]
    if missing:
        raise errors.DatabaseRefused(
            f"{table.relation} has no column {', '.join(missing)}, which {entity} is counted by;"
            " mend the catalog, see `crm-ops catalog validate`"
        )
    return Log(
        entity,
        facet,
        relation(entity, facet),
        table.relation,
        {column: _type(table.columns[column]) for column in columns},
        tuple(dict.fromkeys((*columns, *filtered))),
        condition,
    )


def _table(found: Mapping[Relation, tables.Table], text: str) -> tables.Table:
    relation = Relation.parse(text)
    if relation not in found:
        raise errors.DatabaseRefused(
            f"there is no table {relation}; see `crm-ops catalog validate`"
        )
    return found[relation]


def _type(type_name: str) -> str:
    """The type a column has in the log: PostgreSQL's own, wide enough for what may yet be declared.

    A type of somebody's own (an enum) is logged as its text, as it is counted: the log must not
    keep them from dropping it.
    """
    if "." in type_name or '"' in type_name or type_name.startswith(("character(", "bit")):
        return "text"
    return _MODIFIER.sub("", type_name) if type_name.startswith(_UNBOUNDED) else type_name


__all__ = ["AT", "SIGN", "Log", "parts", "read", "relation"]
