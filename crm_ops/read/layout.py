"""Reads once what an entity's tables are like, so that a search needs no look at them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import errors, sql, statements
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import definition
from crm_ops.fold.definition import Kind
from crm_ops.fold.rows import Counted
from crm_ops.sources import tables

_MODIFIER = re.compile(r"\([^)]*\)")


@dataclass(frozen=True)
class Layout:
    """An entity with the plain types of its columns and of its link facets' values.

    `loose` columns have a collation that takes different texts for equal. `made_with` says by kind
    what stored figures must have been made with to be served.
    """

    counted: Counted
    not_null: frozenset[str]
    loose: frozenset[str]
    linked: Mapping[str, str]
    made_with: Mapping[Kind, str]

    @property
    def entity(self) -> Entity:
        """Its declaration."""
        return self.counted.entity

    @property
    def table(self) -> str:
        """The table of its rows, as SQL."""
        return self.counted.table.quoted

    @property
    def key(self) -> str:
        """The key of the row `r`, as SQL."""
        return column(self.entity.key)

    def type_of(self, name: str) -> str:
        """A column's type without length or precision."""
        return plain(self.counted.types[name])


def read(connection: sa.Connection, catalog: Catalog, name: str) -> Layout:
    """The layout of the entity called `name`; raises `ParameterError` where there is none."""
    if name not in catalog.entities:
        raise errors.ParameterError(
            f"no entity is called {name!r}; there are {', '.join(catalog.entities)}"
        )
    entity = catalog.entities[name]
    own = sql.Relation.parse(entity.table)
    links = {
        facet_name: (sql.Relation.parse(facet.table), facet.column)
        for facet_name, facet in entity.facets.items()
        if isinstance(facet, LinkFacet)
    }
    found = tables.inspect(connection, [own, *(relation for relation, _ in links.values())])
    if own not in found:
        raise errors.DataError(f"the table {own} of {name} is not there")
    loose = sql.run(
        connection,
        statements.load("crm_ops.read")["loose_columns"],
        schema=own.schema,
        name=own.name,
    )
    counted = Counted(catalog, name, found[own].columns)
    return Layout(
        counted,
        found[own].not_null,
        frozenset(loose.scalars()),
        {
            facet_name: plain(found[relation].columns[value])
            for facet_name, (relation, value) in links.items()
            if relation in found
        },
        {kind: definition.of(counted, kind).id for kind in definition.KINDS},
    )


def column(name: str) -> str:
    """A column of the row `r`, as SQL."""
    return f"r.{sql.identifier(name)}"


def plain(type_name: str) -> str:
    """A type without its length or precision."""
    return _MODIFIER.sub("", type_name)


__all__ = ["Layout", "column", "plain", "read"]
