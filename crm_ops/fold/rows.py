"""The rows of an entity that count, as SQL: whose they are, which the catalog's filter keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crm_ops.base import sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy, Entity
from crm_ops.sources import filters


@dataclass(frozen=True)
class Counted:
    """An entity of a catalog with the types of its table's columns."""

    catalog: Catalog
    name: str
    types: Mapping[str, str]

    @property
    def entity(self) -> Entity:
        """Its declaration."""
        return self.catalog.entities[self.name]

    @property
    def table(self) -> sql.Relation:
        """The CRM's table."""
        return sql.Relation.parse(self.entity.table)


def tenant(counted: Counted, row: str = "r") -> str:
    """The tenant of a row, as text."""
    tenancy, column = counted.catalog.tenancy, counted.entity.tenant
    if not isinstance(tenancy, ColumnTenancy) or column is None:
        return f"{sql.literal(getattr(tenancy, 'name', 'main'))}::text"
    text = f"{row}.{sql.identifier(column)}::text"
    if tenancy.null_tenant is None:
        return text
    return f"coalesce({text}, {sql.literal(tenancy.null_tenant)})"


def condition(counted: Counted, row: str = "r") -> str:
    """Which rows count for the tenants bound as `tenants` (a text array)."""
    kept = filters.condition(counted.entity.where, f"{row}.")
    tenancy, column = counted.catalog.tenancy, counted.entity.tenant
    if not isinstance(tenancy, ColumnTenancy) or column is None:
        return kept
    quoted, type_name = f"{row}.{sql.identifier(column)}", counted.types[column]
    if tenancy.null_tenant is None:
        return f"{kept} AND {quoted} = ANY(%(tenants)s::text[]::{type_name}[])"
    name = sql.literal(tenancy.null_tenant)
    keys = f"array_remove(%(tenants)s::text[], {name})::{type_name}[]"
    nobody = f"({quoted} IS NULL AND {name} = ANY(%(tenants)s::text[]))"
    return f"{kept} AND ({quoted} = ANY({keys}) OR {nobody})"


__all__ = ["Counted", "condition", "tenant"]
