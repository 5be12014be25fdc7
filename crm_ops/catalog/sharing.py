"""Who may see what: where the CRM keeps its sharing rules."""

from __future__ import annotations

from crm_ops.catalog.parts import Column, Part, Table


class Rules(Part):
    """The table of sharing rules: a JSON predicate, granted to everyone, a role, a team, a user."""

    table: Table
    tenant: Column = "company_id"
    key: Column = "id"
    entity: Column = "entity"
    predicate: Column = "predicate"
    grantee_type: Column = "grantee_type"
    grantee: Column = "grantee_id"
    level: Column = "level"
    active: Column = "is_active"


class Sharing(Part):
    """The sharing configuration."""

    rules: Rules


__all__ = ["Rules", "Sharing"]
