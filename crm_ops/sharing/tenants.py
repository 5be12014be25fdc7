"""Which rows of the CRM are a tenant's, and how the key of a tenant is written, as SQL."""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.catalog.entities import SingleTenancy, Tenancy


def owns(tenancy: Tenancy, column: str, given: str, tenant_type: str) -> str:
    """Whether a row whose tenant is in `column` belongs to the tenant `given` (SQL, text).

    The column itself is compared, so that an index on it serves.
    """
    if isinstance(tenancy, SingleTenancy):
        return "true"
    if tenancy.null_tenant is None:
        return _is(column, f"{given}::{tenant_type}", tenant_type)
    nobody = sql.literal(tenancy.null_tenant)
    own = _is(column, f"nullif({given}, {nobody})::{tenant_type}", tenant_type)
    return f"({own} OR ({column} IS NULL AND {given} = {nobody}))"


def written(tenancy: Tenancy, given: str, tenant_type: str) -> str:
    """The one way in which PostgreSQL writes the key `given` (SQL, text): 7 for 007."""
    if isinstance(tenancy, SingleTenancy):
        return sql.literal(tenancy.name)
    if tenancy.null_tenant is None:
        return f"{given}::{tenant_type}::text"
    nobody = sql.literal(tenancy.null_tenant)
    return f"coalesce(nullif({given}, {nobody})::{tenant_type}::text, {nobody})"


def _is(column: str, value: str, tenant_type: str) -> str:
    same = f"{column} = {value}"
    if not tenant_type.startswith(("text", "character varying")):
        return same
    # A collation may hold "A" and "a" for equal; their epochs are two.
    return f'({same} AND {column}::text COLLATE "C" = {value}::text COLLATE "C")'


__all__ = ["owns", "written"]
