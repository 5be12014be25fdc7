"""Refuses what can be no key of a tenant, user or record, before PostgreSQL does in its own words.

A request brings texts; a statement that PostgreSQL refuses would cost the caller the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_ops.base import errors
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.read import values
from crm_ops.sharing.layout import Layout

# So many digits are a key of the type whichever they are.
_DIGITS = {"smallint": 4, "integer": 9, "bigint": 18}

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class _Column:
    """What is called a key, and the column that holds it, with its type."""

    what: str
    name: str
    type: str

    def require(self, given: str) -> None:
        """Return if it can be in the column; else raise ParameterError."""
        if len(given) <= _DIGITS.get(self.type, 0) and given.isascii() and given.isdigit():
            return
        values.text(given, self.what)
        try:
            if values.of_type([given], self.type, self.what) != []:
                return
        except errors.ParameterError:
            pass
        shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
        raise errors.ParameterError(
            f"{self.what}: {shown!r} is no {self.type}; give a key that is in {self.name}",
            parameter=self.what,
        )


class Keys:
    """The columns of the keys of a catalog's tenants, users and records."""

    def __init__(self, layout: Layout) -> None:
        catalog, users, rules = layout.catalog, layout.sharing.users, layout.sharing.rules
        if users is None:
            raise errors.CatalogError(["sharing.users: is missing; say where the users are"])
        self._records = {
            name: _column("record", each.table, each.key, layout.type(each.table, each.key))
            for name, each in catalog.entities.items()
        }
        self._users = _column("user", users.table, users.key, layout.user_type)
        self._tenants = None
        self._nobody: str | None = None
        if isinstance(catalog.tenancy, ColumnTenancy):
            self._tenants = _column("tenant", rules.table, rules.tenant, layout.tenant_type)
            self._nobody = catalog.tenancy.null_tenant

    def require(
        self, tenant: str, entity: str, *, user: str | None = None, record: str | None = None
    ) -> None:
        """Return if there is such an entity and the keys can be; else raise ParameterError."""
        records = self._records.get(entity)
        if records is None:
            raise errors.ParameterError(
                f"no entity is called {entity}; there are {', '.join(self._records)}"
            )
        if self._tenants is not None and tenant != self._nobody:
            self._tenants.require(tenant)
        if user is not None:
            self._users.require(user)
        if record is not None:
            records.require(record)


def _column(what: str, table: str, column: str, type_name: str) -> _Column:
    return _Column(what, f"{table}.{column}", type_name.partition("(")[0])


__all__ = ["Keys"]
