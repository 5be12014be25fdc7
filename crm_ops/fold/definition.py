"""Tells what a tenant's figures were made with from what the catalog declares now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.base.names import DEFINITION
from crm_ops.fold import aggregates, rows

Kind = Literal["facets", "aggregates"]
KINDS: tuple[Kind, ...] = ("facets", "aggregates")


@dataclass(frozen=True)
class Definition:
    """The checksum of each part (a facet or an aggregate) by its name, and of all together."""

    id: str
    parts: Mapping[str, str]

    def differing(self, made_with: Mapping[str, str]) -> list[str]:
        """The parts that are not as `made_with` says, those that are declared no more included."""
        names = {*self.parts, *made_with}
        return sorted(each for each in names if self.parts.get(each) != made_with.get(each))


def of(counted: rows.Counted, kind: Kind) -> Definition:
    """What the catalog declares of an entity."""
    entity, catalog = counted.entity, counted.catalog
    basis = entity.model_dump(mode="json", include={"table", "key", "tenant", "where"})
    basis |= {"tenancy": catalog.tenancy.model_dump(mode="json"), "zone": catalog.time_zone}
    declared: dict[str, object] = {}
    if kind == "facets":
        declared = {name: each.model_dump(mode="json") for name, each in entity.facets.items()}
    else:
        known = entity.splits()
        for name, aggregate in aggregates.of_entity(counted).items():
            by = [known[each].model_dump(mode="json") for each in aggregate.by]
            declared[name] = [aggregate.model_dump(mode="json"), by]
    parts = {name: _checksum([basis, each]) for name, each in declared.items()}
    return Definition(_checksum([kind, counted.name, basis, parts]), parts)


def remember(connection: sa.Connection, definition: Definition) -> None:
    """Store a definition, so that figures may refer to it; safe to repeat."""
    sql.run(
        connection,
        f"INSERT INTO {DEFINITION.quoted} (id, parts) VALUES (%(id)s, %(parts)s::jsonb)"
        " ON CONFLICT DO NOTHING",
        id=definition.id,
        parts=msgspec.json.encode(definition.parts).decode(),
    )


def _checksum(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]


__all__ = ["KINDS", "Definition", "Kind", "of", "remember"]
