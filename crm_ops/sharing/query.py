"""The one query that reads sharing rules, from the names the catalog gives."""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.entities import SingleTenancy, Tenancy
from crm_ops.catalog.sharing import Rules


def text(source: Rules, tenancy: Tenancy, tenant_type: str) -> str:
    """The active rules of `%(tenants)s`: for the entities `%(wanted)s` and for unknown ones.

    Unknown is what is not in `%(known)s`. Columns: tenant, id, entity, predicate, grantee_type,
    grantee, level, all text. `tenant_type` is the SQL type of the tenant column.
    """
    entity = f"{_column(source.entity)}::text"
    return f"""\
SELECT t.tenant,
    {_column(source.key)}::text AS id,
    {entity} AS entity,
    {_column(source.predicate)}::text AS predicate,
    {_column(source.grantee_type)}::text AS grantee_type,
    {_column(source.grantee)}::text AS grantee,
    {_column(source.level)}::text AS level
FROM unnest(%(tenants)s::text[]) AS t (tenant)
JOIN {Relation.parse(source.table).quoted} AS r
    ON {_owner(tenancy, _column(source.tenant), tenant_type)}
WHERE {_column(source.active)}
    AND ({entity} = ANY (%(wanted)s::text[])
        OR ({entity} = ANY (%(known)s::text[])) IS NOT TRUE)
ORDER BY {_column(source.key)}
"""


def _column(name: str) -> str:
    return f"r.{sql.identifier(name)}"


def _owner(tenancy: Tenancy, column: str, tenant_type: str) -> str:
    """Which rules are whose; the column itself is compared, so that an index on it serves."""
    if isinstance(tenancy, SingleTenancy):
        return "true"
    if tenancy.null_tenant is None:
        return f"{column} = t.tenant::{tenant_type}"
    nobody = sql.literal(tenancy.null_tenant)
    return (
        f"({column} = nullif(t.tenant, {nobody})::{tenant_type}"
        f" OR ({column} IS NULL AND t.tenant = {nobody}))"
    )


__all__ = ["text"]
