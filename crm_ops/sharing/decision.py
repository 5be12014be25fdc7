"""The one query of a decision: the record, what it was shared for, and the epoch, in one snapshot.

Values: `tenant`, `user`, `record`, all text. There is always one row. Three lengths of it: `short`
for a user who is remembered; `longer` with their teams; `whole` with the whole configuration.
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.sharing import Shares
from crm_ops.sharing import fields, query, scopes, tenants
from crm_ops.sharing.layout import Layout
from crm_ops.sources import filters

# The columns before the cells: version, there, owner, share.
FACTS = 4

_TENANT = "%(tenant)s::text"
_USER = "%(user)s"


def short(layout: Layout, entity: str, columns: Sequence[str]) -> str:
    """version, there, owner, share, and the cells of `columns`."""
    return _text(layout, entity, columns, [])


def longer(layout: Layout, entity: str) -> str:
    """The same with the cells of all testable columns, then teams, tenant_version, kept."""
    return _text(layout, entity, layout.testable(entity), _teams(layout))


def whole(layout: Layout, entity: str) -> str:
    """The same, then people and rules as JSON; also needs the values of `query.rules`.

    Those are of the one tenant.
    """
    more = [*_teams(layout), *_configuration(layout)]
    return _text(layout, entity, layout.testable(entity), more)


def everyone(layout: Layout, entity: str) -> str:
    """The same, then as JSON: members, who is in which team, and shares, who was given what."""
    more = [*_teams(layout), *_configuration(layout), *_of_everyone(layout, entity)]
    return _text(layout, entity, layout.testable(entity), more)


def versions(layout: Layout, tenant: str, user: str) -> str:
    """The epoch of all that a decision about the user depends on; given and returned as SQL."""
    everything = sql.literal(scopes.everything(layout.catalog))
    return scopes.version(everything, _tenant_scope(layout, tenant), _user_scope(layout, user))


def records(layout: Layout, entity: str, tenant: str) -> str:
    """Which rows of the entity's table `r` are records of the tenant, as SQL."""
    declared = layout.catalog.entities[entity]
    conditions = [filters.condition(declared.where, "r.")]
    if declared.tenant is not None:
        column = f"r.{sql.identifier(declared.tenant)}"
        of_type = layout.type(declared.table, declared.tenant)
        conditions.append(tenants.owns(layout.catalog.tenancy, column, tenant, of_type))
    return " AND ".join(conditions)


def share_level(source: Shares) -> str:
    """What the share `s` grants, as a number of `viewer.LEVELS`; 0 for an unknown level."""
    level = f"s.{sql.identifier(source.level)}::text"
    return f"CASE {level} WHEN 'read_write' THEN 2 WHEN 'read_only' THEN 1 ELSE 0 END"


def _text(layout: Layout, entity: str, columns: Sequence[str], more: Sequence[str]) -> str:
    declared = layout.catalog.entities[entity]
    types, kinds = layout.tables[declared.table].columns, layout.kinds[entity]
    key = f"r.{sql.identifier(declared.key)}"
    owner = "NULL" if declared.owner is None else f"r.{sql.identifier(declared.owner)}::text"
    cells = [fields.cell(name, types[name], kind) for name in columns if (kind := kinds[name])]
    selected = [
        f"{versions(layout, _TENANT, _USER)} AS version",
        f"{key} IS NOT NULL AS there",
        f"{owner} AS owner",
        f"{_share(layout, entity)} AS share",
        *(f"{cell} AS c{at}" for at, cell in enumerate(cells)),
        *more,
    ]
    return (
        f"SELECT {', '.join(selected)}\n"
        f"FROM (SELECT {_TENANT} AS tenant) AS t\n"
        f"LEFT JOIN {Relation.parse(declared.table).quoted} AS r"
        f" ON {key} = %(record)s::{types[declared.key]} AND {records(layout, entity, _TENANT)}"
    )


def _share(layout: Layout, entity: str) -> str:
    source = layout.sharing.shares
    if source is None:
        return "NULL::int"
    user = layout.type(source.table, source.user)
    return (
        f"(SELECT max({share_level(source)}) {_shares(layout, source, entity)}"
        f" AND s.{sql.identifier(source.user)} = {_USER}::{user})"
    )


def _shares(layout: Layout, source: Shares, entity: str) -> str:
    record = layout.type(source.table, source.record)
    return (
        f"FROM {Relation.parse(source.table).quoted} AS s"
        f" WHERE s.{sql.identifier(source.entity)}::text = {sql.literal(entity)}"
        f" AND s.{sql.identifier(source.record)} = %(record)s::{record}"
    )


def _teams(layout: Layout) -> list[str]:
    source = layout.sharing.members
    everything = sql.literal(scopes.everything(layout.catalog))
    teams = "ARRAY[]::text[]"
    if source is not None:
        user = layout.type(source.table, source.user)
        teams = (
            f"ARRAY(SELECT m.{sql.identifier(source.team)}::text"
            f" FROM {Relation.parse(source.table).quoted} AS m"
            f" WHERE m.{sql.identifier(source.user)} = {_USER}::{user})"
        )
    return [
        f"{teams} AS teams",
        f"{scopes.version(everything, _tenant_scope(layout, _TENANT))} AS tenant_version",
        f"{scopes.kept(layout.catalog)} AS kept",
    ]


def _configuration(layout: Layout) -> list[str]:
    rules = f"SELECT rules::text FROM ({query.rules(layout)}) AS l"
    return [
        f"(SELECT people FROM ({query.people(layout)}) AS p) AS people",
        f"coalesce(({rules}), '[]') AS rules",
    ]


def _of_everyone(layout: Layout, entity: str) -> list[str]:
    members, shares = layout.sharing.members, layout.sharing.shares
    teams = levels = "SELECT '[]'"
    if members is not None:
        pair = f"m.{sql.identifier(members.user)}::text, m.{sql.identifier(members.team)}::text"
        teams = (
            f"SELECT coalesce(json_agg(json_build_array({pair})), '[]'::json)::text"
            f" FROM {Relation.parse(members.table).quoted} AS m"
            f" WHERE m.{sql.identifier(members.user)} IN ({query.keys_of_users(layout)})"
        )
    if shares is not None:
        pair = f"s.{sql.identifier(shares.user)}::text, {share_level(shares)}"
        levels = (
            f"SELECT coalesce(json_agg(json_build_array({pair})), '[]'::json)::text"
            f" {_shares(layout, shares, entity)} AND s.{sql.identifier(shares.user)} IS NOT NULL"
        )
    return [f"({teams}) AS members", f"({levels}) AS shares"]


def _tenant_scope(layout: Layout, tenant: str) -> str:
    return scopes.tenant(tenants.written(layout.catalog.tenancy, tenant, layout.tenant_type))


def _user_scope(layout: Layout, user: str) -> str:
    return scopes.user(f"{user}::{layout.user_type}::text")


__all__ = [
    "FACTS",
    "everyone",
    "longer",
    "records",
    "share_level",
    "short",
    "versions",
    "whole",
]
