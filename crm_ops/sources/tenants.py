"""Lists the CRM's active tenants: their keys as text, in an order that does not change."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa

from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import SingleTenancy
from crm_ops.sources import filters, tables

# Python reads at most 4300 digits.
_WHOLE = re.compile(r"-?[0-9]{1,1000}")

# A sample of so many rows sizes every tenant that matters to a batch within a few percent.
_SAMPLED_ROWS = 500_000


def active(connection: sa.Connection, catalog: Catalog) -> list[str]:
    """The active tenants, numbers by value and before texts; in mode single the one name.

    The declared `null_tenant` is one of them; it raises `DataError` where a tenant has that key.
    """
    tenancy = catalog.tenancy
    if isinstance(tenancy, SingleTenancy):
        return [tenancy.name]
    key = sql.identifier(tenancy.key)
    rows = sql.run(
        connection,
        f"SELECT DISTINCT {key}::text FROM {Relation.parse(tenancy.table).quoted}"
        f" WHERE {key} IS NOT NULL AND {filters.condition(tenancy.where)}",
    )
    keys = list(rows.scalars())
    if tenancy.null_tenant is not None:
        if tenancy.null_tenant in keys:
            raise errors.DataError(
                f"tenancy.null_tenant is {tenancy.null_tenant!r}, which is also the key of a row"
                f" of {tenancy.table}; choose another"
            )
        keys.append(tenancy.null_tenant)
    return sorted(keys, key=_rank)


def chosen(connection: sa.Connection, catalog: Catalog, wanted: Sequence[str]) -> list[str]:
    """The `wanted` of the active tenants, all where none is named, in their order.

    Raises `ParameterError` naming those that are not active.
    """
    known = active(connection, catalog)
    unknown = [tenant for tenant in dict.fromkeys(wanted) if tenant not in set(known)]
    if unknown:
        raise errors.ParameterError(
            f"no active tenant is called {', '.join(unknown)}; there are {_few(known)}"
        )
    return [tenant for tenant in known if tenant in set(wanted)] if wanted else known


def sizes(connection: sa.Connection, catalog: Catalog, entity: str) -> dict[str, int]:
    """About how many rows of `entity` each tenant has, filtered-out ones included.

    A large table is sampled: a tenant too small to be met is absent.
    """
    tenancy, declared = catalog.tenancy, catalog.entities[entity]
    relation = Relation.parse(declared.table)
    found = tables.inspect(connection, [relation])
    rows = found[relation].estimated_rows if relation in found else 0
    if isinstance(tenancy, SingleTenancy) or declared.tenant is None:
        return dict.fromkeys(active(connection, catalog), rows)
    share = min(1.0, _SAMPLED_ROWS / max(rows, 1))
    sample = f" TABLESAMPLE SYSTEM ({100 * share:.6f})" if share < 1 else ""
    column = sql.identifier(declared.tenant)
    counted = sql.run(
        connection,
        f"SELECT {column}::text AS tenant, count(*) AS n FROM {relation.quoted}{sample} GROUP BY 1",
    )
    named = ((tenancy.null_tenant if row.tenant is None else row.tenant, row.n) for row in counted)
    return {tenant: round(n / share) for tenant, n in named if tenant is not None}


def _rank(key: str) -> tuple[int, int, str]:
    return (0, int(key), key) if _WHOLE.fullmatch(key) else (1, 0, key)


def _few(known: Sequence[str]) -> str:
    if not known:
        return "none"
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return ", ".join(known[:10]) + more


__all__ = ["active", "chosen", "sizes"]
