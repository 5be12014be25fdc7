"""What an epoch is kept for: a tenant's configuration, a user's teams, or everything at once.

A scope is text in `crm_ops.sharing_epoch`: `t:` and the tenant's key, `u:` and the user's key, or
`*` and the fingerprint of what the catalog declares. Without slot 0 of the last one nothing moves
the epochs of that declaration, so nothing may be remembered.
"""

from __future__ import annotations

import hashlib

from crm_ops.base import names, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import SingleTenancy, Tenancy

# Types whose values are equal exactly where their texts are: a key in any other writing would have
# a scope that nobody moves.
KEY_TYPES = frozenset({"smallint", "integer", "bigint", "uuid", "text", "character varying"})

# Moved with every change of what the triggers do: those of an older release are installed anew.
_TRIGGERS = 4


def everything(catalog: Catalog) -> str:
    """The scope that is moved where no single one can be named; one for each declaration."""
    if catalog.sharing is None:
        return "*"
    declared = catalog.sharing.model_dump_json() + catalog.tenancy.model_dump_json()
    return f"* {hashlib.sha256(f'{_TRIGGERS} {declared}'.encode()).hexdigest()[:16]}"


def tenant(text: str) -> str:
    """The scope of the tenant whose key is `text`, both as SQL; NULL for no tenant."""
    return f"('t:' || {text})"


def tenant_of(column: str, tenancy: Tenancy) -> str:
    """The scope of the tenant that a column names, as SQL; NULL where it names none."""
    if isinstance(tenancy, SingleTenancy):
        return tenant(sql.literal(tenancy.name))
    if tenancy.null_tenant is None:
        return tenant(f"{column}::text")
    return tenant(f"coalesce({column}::text, {sql.literal(tenancy.null_tenant)})")


def user(text: str) -> str:
    """The scope of the teams of the user whose key is the SQL expression `text`, as SQL."""
    return f"('u:' || {text})"


def version(*scopes: str) -> str:
    """The sum of the epochs of some scopes, as SQL: equal only where none of them moved."""
    return (
        f"(SELECT sum(epoch)::bigint FROM {names.SHARING_EPOCH.quoted}"
        f" WHERE scope = ANY (ARRAY[{', '.join(scopes)}]))"
    )


def kept(catalog: Catalog) -> str:
    """Whether epochs are kept for what `catalog` declares, as SQL."""
    return (
        f"EXISTS (SELECT FROM {names.SHARING_EPOCH.quoted}"
        f" WHERE scope = {sql.literal(everything(catalog))} AND slot = 0)"
    )


__all__ = ["KEY_TYPES", "everything", "kept", "tenant", "tenant_of", "user", "version"]
