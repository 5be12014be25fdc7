"""Who may see what: where the CRM keeps its sharing rules."""

from __future__ import annotations

from pydantic import Field

from crm_ops.catalog.parts import Column, Part, Table


class Rules(Part):
    """The table of sharing rules: a JSON predicate, granted to everyone, a role, a team, a user."""

    table: Table = Field(description="The table of the rules, as schema.table.")
    tenant: Column = Field(default="company_id", description="The column with a rule's tenant.")
    key: Column = Field(default="id", description="The column that identifies a rule.")
    entity: Column = Field(default="entity", description="The column with the entity's name.")
    predicate: Column = Field(
        default="predicate", description="The json column that says which records are shared."
    )
    grantee_type: Column = Field(
        default="grantee_type", description="The column that says what kind of grantee it is."
    )
    grantee: Column = Field(
        default="grantee_id", description="The column with the key of the role, team or user."
    )
    level: Column = Field(
        default="level", description="The column that says what the grantee may do."
    )
    active: Column = Field(
        default="is_active", description="The boolean column that switches a rule on."
    )


class Sharing(Part):
    """The sharing configuration."""

    rules: Rules = Field(description="Where the sharing rules are.")


__all__ = ["Rules", "Sharing"]
