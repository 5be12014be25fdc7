"""Which records of an entity a user may see, as an SQL condition that ends with its epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.sharing import condition, decision
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.viewer import READ, Viewer

# Names that do not meet those of the query around it.
_TENANT = "%(visible_tenant)s::text"
_USER = "%(visible_user)s"


@dataclass(frozen=True)
class Visible:
    """SQL about the table called `r`, and the values to bind with it.

    `condition` holds for the records that the user may see. Once anything that it was made from has
    changed it holds for none, and `current`, an expression, is false in the same statement: then
    ask for another. It was made from `viewer`, who sees what `owners` own (the user among them) and
    the records whose keys the SELECT `shared` gives.
    """

    condition: str
    current: str
    values: Mapping[str, Any]
    viewer: Viewer = field(repr=False)
    owners: tuple[str, ...] = field(repr=False)
    shared: str | None = None


def of(layout: Layout, entity: str, tenant: str, viewer: Viewer) -> Visible:
    """What `viewer` of `tenant` may see of `entity`."""
    owners = [viewer.user]
    owners += [owner for owner, bosses in viewer.bosses.items() if viewer.role in bosses]
    values = {
        "visible_tenant": tenant,
        "visible_user": viewer.user,
        "visible_version": viewer.version,
        "visible_owners": owners,
    }
    version = decision.versions(layout, _TENANT, _USER)
    current = f"({version} IS NOT DISTINCT FROM %(visible_version)s::bigint)"
    parts = [current, decision.records(layout, entity, _TENANT), _granted(layout, entity, viewer)]
    condition_ = " AND ".join(parts)
    return Visible(condition_, current, values, viewer, tuple(owners), _shared(layout, entity))


def _granted(layout: Layout, entity: str, viewer: Viewer) -> str:
    if not viewer.active:
        return "false"
    if viewer.floor >= READ:
        return "true"
    return f"({' OR '.join(_ways(layout, entity, viewer)) or 'false'})"


def _ways(layout: Layout, entity: str, viewer: Viewer) -> Iterator[str]:
    declared = layout.catalog.entities[entity]
    if declared.owner is not None:
        of_type = layout.type(declared.table, declared.owner)
        owner = f"r.{sql.identifier(declared.owner)}"
        yield f"{owner} = ANY (%(visible_owners)s::text[]::{of_type}[])"
    shared = _shared(layout, entity)
    if shared is not None:
        yield f"r.{sql.identifier(declared.key)} IN ({shared})"
    for _, _, rule in viewer.granted:
        yield f"({condition.text(rule.predicate, 'r')})"


def _shared(layout: Layout, entity: str) -> str | None:
    """The keys of the records that are shared with the user; None where none can be."""
    shares = layout.sharing.shares
    if shares is None:
        return None
    user = layout.type(shares.table, shares.user)
    return (
        f"SELECT s.{sql.identifier(shares.record)} FROM {Relation.parse(shares.table).quoted} AS s"
        f" WHERE s.{sql.identifier(shares.entity)}::text = {sql.literal(entity)}"
        f" AND s.{sql.identifier(shares.user)} = {_USER}::{user}"
        f" AND {decision.share_level(shares)} > 0"
    )


__all__ = ["Visible", "of"]
