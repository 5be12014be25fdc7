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
        return f"{column} = {given}::{tenant_type}"
    nobody = sql.literal(tenancy.null_tenant)
    return (
        f"({column} = nullif({given}, {nobody})::{tenant_type}"
        f" OR ({column} IS NULL AND {given} = {nobody}))"
    )


def written(tenancy: Tenancy, given: str, tenant_type: str) -> str:
    """The one way in which PostgreSQL writes the key `given` (SQL, text): 7 for 007."""
    if isinstance(tenancy, SingleTenancy):
        return sql.literal(tenancy.name)
    if tenancy.null_tenant is None:
        return f"{given}::{tenant_type}::text"
    nobody = sql.literal(tenancy.null_tenant)
    return f"coalesce(nullif({given}, {nobody})::{tenant_type}::text, {nobody})"


__all__ = ["owns", "written"]
