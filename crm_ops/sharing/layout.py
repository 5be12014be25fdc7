"""What the tables of sharing and of the records are like: read once, then known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from crm_ops.base.statements import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.catalog.sharing import Sharing
from crm_ops.sharing import kinds, scopes
from crm_ops.sharing.kinds import Kind
from crm_ops.sources import tables
from crm_ops.sources.tables import Table


@dataclass(frozen=True)
class Layout:
    """The tables by name, and the kinds of each entity's columns (None: rules cannot test it)."""

    catalog: Catalog
    sharing: Sharing
    tables: Mapping[str, Table]
    kinds: Mapping[str, Mapping[str, Kind | None]]

    def type(self, table: str, column: str) -> str:
        """The type of a column, for casts."""
        return self.tables[table].columns[column]

    @property
    def tenant_type(self) -> str:
        """The type of the keys of tenants."""
        rules = self.sharing.rules
        return self.tables[rules.table].columns.get(rules.tenant, "text")

    @property
    def user_type(self) -> str:
        """The type of the keys of users."""
        users = self.sharing.users
        return "text" if users is None else self.type(users.table, users.key)

    def testable(self, entity: str) -> tuple[str, ...]:
        """The columns of an entity that rules may test, in the order of the table."""
        return tuple(name for name, kind in self.kinds[entity].items() if kind is not None)

    @property
    def setting(self) -> str | None:
        """The setting to make before tables are read; None where no policies apply to our role.

        PermissionMissing where they do and the catalog names no setting.
        """
        hidden = next((table for table in self.tables.values() if table.row_security), None)
        if hidden is None:
            return None
        tenancy = self.catalog.tenancy
        setting = tenancy.setting if isinstance(tenancy, ColumnTenancy) else None
        if setting is None:
            raise errors.PermissionMissing(
                f"our database role sees only what policies of {hidden.relation} show it; grant it"
                " BYPASSRLS, or declare tenancy.setting in the catalog"
            )
        return setting


def read(connection: sa.Connection, catalog: Catalog, entities: Sequence[str]) -> Layout:
    """The tables that the sharing of `entities` needs.

    Raises CatalogError for one that is not there or has keys whose texts are not unambiguous.
    """
    if catalog.sharing is None:
        raise errors.ParameterError("the catalog declares no sharing rules")
    parts = [getattr(catalog.sharing, name) for name in Sharing.model_fields]
    wanted = [part.table for part in parts if part is not None]
    wanted += [catalog.entities[name].table for name in entities]
    relations = {name: Relation.parse(name) for name in wanted}
    found = tables.inspect(connection, relations.values())
    missing = sorted({str(each) for each in relations.values() if each not in found})
    if missing:
        raise errors.CatalogError([f"the table {name} is not there" for name in missing])
    enums = frozenset(sql.run(connection, load("crm_ops.sharing")["enums"]).scalars())
    layout = Layout(
        catalog,
        catalog.sharing,
        {name: found[relation] for name, relation in relations.items()},
        {
            name: {
                column: kinds.kind(of, enums)
                for column, of in found[relations[catalog.entities[name].table]].columns.items()
            }
            for name in entities
        },
    )
    _refuse_other_keys(layout)
    return layout


def _refuse_other_keys(layout: Layout) -> None:
    for type_name in (layout.tenant_type, layout.user_type):
        if type_name.partition("(")[0] not in scopes.KEY_TYPES:
            raise errors.CatalogError(
                [
                    f"a tenant's or user's key is {type_name}; sharing needs keys of the types"
                    f" {', '.join(sorted(scopes.KEY_TYPES))}"
                ]
            )


__all__ = ["Layout", "read"]
