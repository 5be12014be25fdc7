"""The queries that read the sharing configuration, from the names the catalog gives.

Each reads a table once, for all tenants that are asked for. A row is of one of `%(tenants)s`, whose
`number` is its place there, from 1.
"""

from __future__ import annotations

from crm_ops.base import names, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.sharing import Members, Roles, Rules, TenantDefault, Users
from crm_ops.sharing import scopes, tenants
from crm_ops.sharing.layout import Layout

_TENANTS = "unnest(%(tenants)s::text[]) WITH ORDINALITY AS t (tenant, number)"


def configuration(layout: Layout) -> str:
    """All that is configured for each tenant, in one statement: so of one snapshot.

    Columns: tenant; version and people as in `people`; rules as in `rules`; noted, the JSON of what
    the last warming saw (part, version, digest); where the catalog declares members of teams, also
    members_version and members as in `_members`. Needs the values of `rules`.
    """
    columns = [
        "p.tenant, p.version, p.people",
        "coalesce(r.rules, '[]')::text AS rules",
        "coalesce(n.noted, '[]')::text AS noted",
    ]
    parts = {"r": rules(layout), "n": _noted()}
    users, members = layout.sharing.users, layout.sharing.members
    if users is not None and members is not None:
        columns.append("coalesce(e.version, 0)::bigint AS members_version")
        columns.append("md5(coalesce(m.members, '')) AS members")
        parts["e"] = _epochs_of_users(_keys(layout, users))
        parts["m"] = _members(_keys(layout, users), members)
    joined = "\n".join(
        f"LEFT JOIN ({text}) AS {name} USING (number)" for name, text in parts.items()
    )
    return f"SELECT {', '.join(columns)}\nFROM ({people(layout)}) AS p\n{joined}"


def rules(layout: Layout) -> str:
    """The active rules for the entities `%(wanted)s` and for unknown ones.

    Unknown is what is not in `%(known)s`. A row for each tenant that has any: number; rules, the
    JSON of `rules.Row`s in the order of their keys.
    """
    source = layout.sharing.rules
    entity = f"{_column(source.entity)}::text"
    name = "NULL" if source.name is None else _column(source.name)
    return f"""\
SELECT t.number, array_to_json(array_agg(ARRAY[
    {_column(source.key)}::text,
    {name}::text,
    {entity},
    {_column(source.predicate)}::text,
    {_column(source.grantee_type)}::text,
    {_column(source.grantee)}::text,
    {_column(source.level)}::text
] ORDER BY {_column(source.key)})) AS rules
FROM {_TENANTS}
JOIN {Relation.parse(source.table).quoted} AS r
    ON {_of_tenant(layout, source)}
WHERE {_column(source.active)}
    AND ({entity} = ANY (%(wanted)s::text[])
        OR ({entity} = ANY (%(known)s::text[])) IS NOT TRUE)
GROUP BY t.number
"""


def people(layout: Layout) -> str:
    """The default, users and roles of each tenant, and the epoch that they are of.

    Columns: number; tenant; version (a number, NULL where no epoch is kept); people (the JSON of
    `people.People`).
    """
    sharing = layout.sharing
    written = tenants.written(layout.catalog.tenancy, "t.tenant", layout.tenant_type)
    everything = sql.literal(scopes.everything(layout.catalog))
    default = _default(layout, sharing.tenant_default)
    parts = {}
    if sharing.users is not None:
        parts["users"] = _users(layout, sharing.users)
    if sharing.roles is not None:
        parts["roles"] = _roles(layout, sharing.roles)
    joined = "".join(
        f"\nLEFT JOIN ({text}) AS {name} USING (number)" for name, text in parts.items()
    )
    listed = [
        f"coalesce({name}.listed, '[]')" if name in parts else "'[]'::json"
        for name in ("users", "roles")
    ]
    return f"""\
SELECT number, t.tenant,
    {scopes.version(everything, scopes.tenant(written))} AS version,
    json_build_array({default}, {", ".join(listed)})::text AS people
FROM {_TENANTS}{joined}
"""


def keys_of_users(layout: Layout) -> str:
    """The keys of the users of the tenants."""
    source = layout.sharing.users
    return "SELECT NULL" if source is None else f"SELECT key FROM ({_keys(layout, source)}) AS k"


def _keys(layout: Layout, source: Users) -> str:
    return f"""\
SELECT t.number, {_column(source.key)} AS key
FROM {_TENANTS} JOIN {Relation.parse(source.table).quoted} AS r ON {_of_tenant(layout, source)}
"""


def _epochs_of_users(keys: str) -> str:
    """version: the sum of the epochs of the tenant's users."""
    return f"""\
SELECT k.number, sum(e.epoch) AS version
FROM ({keys}) AS k JOIN {names.SHARING_EPOCH.quoted} AS e ON e.scope = {scopes.user("k.key::text")}
GROUP BY k.number
"""


def _members(keys: str, source: Members) -> str:
    """members: which of the tenant's users is in which team."""
    user, team = (f"m.{sql.identifier(name)}::text" for name in (source.user, source.team))
    return f"""\
SELECT k.number,
    string_agg(concat({user}, ' ', {team}), ',' ORDER BY {user}, {team}) AS members
FROM (SELECT DISTINCT number, key FROM ({keys}) AS u) AS k
JOIN {Relation.parse(source.table).quoted} AS m
    ON m.{sql.identifier(source.user)} = k.key
GROUP BY k.number
"""


def _noted() -> str:
    return f"""\
SELECT t.number, array_to_json(array_agg(ARRAY[s.part, s.version::text, s.digest])) AS noted
FROM {_TENANTS} JOIN {names.SHARING_SEEN.quoted} AS s USING (tenant)
GROUP BY t.number
"""


def _default(layout: Layout, source: TenantDefault | None) -> str:
    if source is None:
        return "NULL"
    # Of two rows none counts: min and max differ.
    access = f"{_column(source.access)}::text"
    return (
        f"(SELECT CASE WHEN count(*) = 1 THEN min({access}) END"
        f" FROM {Relation.parse(source.table).quoted} AS r WHERE {_of_tenant(layout, source)})"
    )


def _users(layout: Layout, source: Users) -> str:
    role = "NULL" if source.role is None else f"{_column(source.role)}::text"
    active = "true" if source.active is None else f"{_column(source.active)} IS TRUE"
    return _listed(layout, source, f"{_column(source.key)}::text, {role}, {active}")


def _roles(layout: Layout, source: Roles) -> str:
    return _listed(layout, source, f"{_column(source.key)}::text, {_column(source.parent)}::text")


def _listed(layout: Layout, source: Users | Roles, columns: str) -> str:
    key = _column(source.key)
    return f"""\
SELECT t.number, json_agg(json_build_array({columns}) ORDER BY {key}) AS listed
FROM {_TENANTS} JOIN {Relation.parse(source.table).quoted} AS r ON {_of_tenant(layout, source)}
WHERE {key} IS NOT NULL
GROUP BY t.number
"""


def _column(name: str) -> str:
    return f"r.{sql.identifier(name)}"


def _of_tenant(layout: Layout, source: Rules | Users | Roles | TenantDefault) -> str:
    return tenants.owns(
        layout.catalog.tenancy, _column(source.tenant), "t.tenant", layout.tenant_type
    )


__all__ = ["configuration", "keys_of_users", "people", "rules"]
