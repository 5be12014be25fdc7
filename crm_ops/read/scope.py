"""The rows of one tenant's entity that count, as a condition that an index serves."""

from __future__ import annotations

from crm_ops.base import errors
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.read import values
from crm_ops.read.condition import Condition
from crm_ops.read.layout import Layout, column
from crm_ops.sources import filters


def rows(layout: Layout, tenant: str) -> Condition:
    """The counted rows `r` of `tenant`; raises `ParameterError` where it cannot be one."""
    kept = filters.condition(layout.entity.where, "r.")
    tenancy, name = layout.counted.catalog.tenancy, layout.entity.tenant
    if not isinstance(tenancy, ColumnTenancy) or name is None:
        if tenant != getattr(tenancy, "name", None):
            raise _unknown(tenant)
        return Condition(kept)
    if tenancy.null_tenant is not None and tenant == tenancy.null_tenant:
        return Condition(f"{column(name)} IS NULL AND {kept}")
    type_name = layout.type_of(name)
    return Condition(
        f"{column(name)} = %(tenant)s::{type_name} AND {kept}",
        {"tenant": _key(tenant, type_name)},
    )


def _key(tenant: str, type_name: str) -> str:
    """The tenant's key, only as PostgreSQL writes it: another text is not a second name for it."""
    if type_name in values.WHOLE:
        number = values.whole(tenant, type_name)
        canonical = None if number is None else str(number)
    elif type_name == "uuid":
        canonical = values.uuid(tenant)
    else:
        canonical = values.text(tenant, "tenant")
    if canonical != tenant:
        raise _unknown(tenant)
    return tenant


def _unknown(tenant: str) -> errors.ParameterError:
    return errors.ParameterError(
        f"{tenant[:60]!r} is no tenant's key; give it as `crm-ops status` and the tenants' table"
        " have it"
    )


__all__ = ["rows"]
