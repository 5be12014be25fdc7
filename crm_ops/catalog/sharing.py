"""Who may see what: where the CRM keeps its sharing rules, users, roles, teams and shares."""

from __future__ import annotations

from pydantic import Field

from crm_ops.catalog.parts import Column, Part, Table


class Rules(Part):
    """The table of sharing rules: a JSON predicate, granted to everyone, a role, a team, a user."""

    table: Table = Field(description="The table of the rules, as schema.table.")
    tenant: Column = Field(default="company_id", description="The column with a rule's tenant.")
    key: Column = Field(default="id", description="The column that identifies a rule.")
    name: Column | None = Field(
        default=None, description="The column that names a rule in reports; else its key does."
    )
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


class Users(Part):
    """The table of users; who is not in it, or is not active, sees nothing."""

    table: Table = Field(description="The table of the users, as schema.table.")
    tenant: Column = Field(default="company_id", description="The column with a user's tenant.")
    key: Column = Field(default="id", description="The column that identifies a user.")
    role: Column | None = Field(default=None, description="The column with the key of their role.")
    active: Column | None = Field(
        default=None, description="The boolean column that says who may work; without it all may."
    )


class Roles(Part):
    """The table of roles, a tree: a role sees what the users of the roles below it own."""

    table: Table = Field(description="The table of the roles, as schema.table.")
    tenant: Column = Field(default="company_id", description="The column with a role's tenant.")
    key: Column = Field(default="id", description="The column that identifies a role.")
    parent: Column = Field(default="parent_id", description="The column with the role above.")


class Members(Part):
    """The table that says who is in which team; teams see what rules grant to them."""

    table: Table = Field(description="The table of the members, as schema.table.")
    team: Column = Field(default="team_id", description="The column with the key of the team.")
    user: Column = Field(default="user_id", description="The column with the key of the user.")


class Shares(Part):
    """The table of records that are shared one by one with a user."""

    table: Table = Field(description="The table of the shares, as schema.table.")
    entity: Column = Field(default="entity", description="The column with the entity's name.")
    record: Column = Field(default="record_id", description="The column with the record's key.")
    user: Column = Field(default="user_id", description="The column with the key of the user.")
    level: Column = Field(default="level", description="The column that says what they may do.")


class TenantDefault(Part):
    """The table that says what all users of a tenant may do with all its records."""

    table: Table = Field(description="A table with one row for each tenant, as schema.table.")
    tenant: Column = Field(default="id", description="The column with the tenant.")
    access: Column = Field(
        default="default_access",
        description="The column that says private, public_read or public_read_write.",
    )


class Sharing(Part):
    """The sharing configuration; what is left out grants nothing."""

    rules: Rules = Field(description="Where the sharing rules are.")
    users: Users | None = Field(default=None, description="Where the users are.")
    roles: Roles | None = Field(default=None, description="Where the role hierarchy is.")
    members: Members | None = Field(default=None, description="Where the members of teams are.")
    shares: Shares | None = Field(default=None, description="Where single records are shared.")
    tenant_default: TenantDefault | None = Field(
        default=None, description="Where tenants' defaults are; without it all are private."
    )


__all__ = ["Members", "Roles", "Rules", "Shares", "Sharing", "TenantDefault", "Users"]
