"""The queries that read the sharing configuration, from the names the catalog gives."""

from __future__ import annotations

from crm_ops.base import errors, names, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.sharing import Roles, Rules, TenantDefault, Users
from crm_ops.sharing import scopes, tenants
from crm_ops.sharing.layout import Layout


def rules(layout: Layout) -> str:
    """The active rules of `%(tenants)s`: for the entities `%(wanted)s` and for unknown ones.

    Unknown is what is not in `%(known)s`. Columns: tenant, id, name, entity, predicate,
    grantee_type, grantee, level, all text.
    """
    source = layout.sharing.rules
    entity = f"{_column(source.entity)}::text"
    name = "NULL" if source.name is None else _column(source.name)
    return f"""\
SELECT t.tenant,
    {_column(source.key)}::text AS id,
    {name}::text AS name,
    {entity} AS entity,
    {_column(source.predicate)}::text AS predicate,
    {_column(source.grantee_type)}::text AS grantee_type,
    {_column(source.grantee)}::text AS grantee,
    {_column(source.level)}::text AS level
FROM unnest(%(tenants)s::text[]) AS t (tenant)
JOIN {Relation.parse(source.table).quoted} AS r
    ON {_of_tenant(layout, source)}
WHERE {_column(source.active)}
    AND ({entity} = ANY (%(wanted)s::text[])
        OR ({entity} = ANY (%(known)s::text[])) IS NOT TRUE)
ORDER BY {_column(source.key)}
"""


def rules_as_json(layout: Layout) -> str:
    """The same as one text, a JSON array of objects."""
    return f"SELECT coalesce(json_agg(q), '[]'::json)::text FROM ({rules(layout)}) AS q"


def people(layout: Layout) -> str:
    """The default, users and roles of each of `%(tenants)s`, and the epoch that they are of.

    Columns: tenant; version (a number, NULL where no epoch is kept); kept (whether the version can
    be relied on); people (the JSON of `people.People`).
    """
    written = tenants.written(layout.catalog.tenancy, "t.tenant", layout.tenant_type)
    everything = sql.literal(scopes.everything(layout.catalog))
    return f"""\
SELECT t.tenant,
    {scopes.version(everything, scopes.tenant(written))} AS version,
    {scopes.kept(layout.catalog)} AS kept,
    {people_of_tenant(layout)} AS people
FROM unnest(%(tenants)s::text[]) AS t (tenant)
"""


def members(layout: Layout) -> str:
    """A digest of who is in which team, of the users of each of `%(tenants)s`, and its epoch.

    Columns: tenant; version (the sum of the epochs of the tenant's users); digest.
    """
    source = layout.sharing.members
    if source is None:
        raise errors.ParameterError("the catalog declares no members of teams")
    user, team = (f"m.{sql.identifier(name)}::text" for name in (source.user, source.team))
    keys = keys_of_users(layout)
    scope = scopes.user("k.key::text")
    return f"""\
SELECT t.tenant,
    coalesce((
        SELECT sum(e.epoch)::bigint FROM ({keys}) AS k (key)
        JOIN {names.SHARING_EPOCH.quoted} AS e ON e.scope = {scope}
    ), 0) AS version,
    (
        SELECT md5(coalesce(
            string_agg(concat({user}, ' ', {team}), ',' ORDER BY {user}, {team}), ''
        ))
        FROM {Relation.parse(source.table).quoted} AS m
        WHERE m.{sql.identifier(source.user)} IN ({keys})
    ) AS digest
FROM unnest(%(tenants)s::text[]) AS t (tenant)
"""


def people_of_tenant(layout: Layout) -> str:
    """The JSON of `people.People` of the tenant `t.tenant`, as an SQL expression."""
    sharing = layout.sharing
    return (
        "json_build_array("
        f"{_default(layout, sharing.tenant_default)}, "
        f"{_users(layout, sharing.users)}, "
        f"{_roles(layout, sharing.roles)})::text"
    )


def keys_of_users(layout: Layout) -> str:
    """The keys of the users of the tenant `t.tenant`."""
    source = layout.sharing.users
    if source is None:
        return "SELECT NULL"
    relation = Relation.parse(source.table).quoted
    return f"SELECT {_column(source.key)} FROM {relation} AS r WHERE {_of_tenant(layout, source)}"


def _default(layout: Layout, source: TenantDefault | None) -> str:
    if source is None:
        return "NULL"
    # Of two rows none counts: min and max differ.
    access = f"{_column(source.access)}::text"
    return (
        f"(SELECT CASE WHEN count(*) = 1 THEN min({access}) END"
        f" FROM {Relation.parse(source.table).quoted} AS r WHERE {_of_tenant(layout, source)})"
    )


def _users(layout: Layout, source: Users | None) -> str:
    if source is None:
        return "'[]'::json"
    role = "NULL" if source.role is None else f"{_column(source.role)}::text"
    active = "true" if source.active is None else f"{_column(source.active)} IS TRUE"
    return _listed(layout, source, f"{_column(source.key)}::text, {role}, {active}")


def _roles(layout: Layout, source: Roles | None) -> str:
    if source is None:
        return "'[]'::json"
    return _listed(layout, source, f"{_column(source.key)}::text, {_column(source.parent)}::text")


def _listed(layout: Layout, source: Users | Roles, columns: str) -> str:
    key = _column(source.key)
    return (
        f"(SELECT coalesce(json_agg(json_build_array({columns}) ORDER BY {key}), '[]'::json)"
        f" FROM {Relation.parse(source.table).quoted} AS r"
        f" WHERE {key} IS NOT NULL AND {_of_tenant(layout, source)})"
    )


def _column(name: str) -> str:
    return f"r.{sql.identifier(name)}"


def _of_tenant(layout: Layout, source: Rules | Users | Roles | TenantDefault) -> str:
    return tenants.owns(
        layout.catalog.tenancy, _column(source.tenant), "t.tenant", layout.tenant_type
    )


__all__ = ["keys_of_users", "members", "people", "people_of_tenant", "rules", "rules_as_json"]
