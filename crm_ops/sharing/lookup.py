"""Finds what decides for a user: remembered here, shared through Redis, or read from PostgreSQL.

Whatever is found is of the version that the query of the decision returns, or it is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.sharing import decision, people, rules, viewer
from crm_ops.sharing.kept import Kept
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.people import People
from crm_ops.sharing.rules import Broken
from crm_ops.sharing.shared import Shared
from crm_ops.sharing.viewer import Rules, Viewer

# A tenant's rules and people take some ten kilobytes, what is kept of a user less than one.
_CONFIGURATIONS = 5_000
_VIEWERS = 100_000
_FLIGHTS = 64


@dataclass(frozen=True)
class Configuration:
    """The people of a tenant and its rules for an entity; `broken` rules grant nothing."""

    people: People
    rules: Rules
    broken: tuple[Broken, ...] = ()


class Lookup:
    """What a process remembers, for all its threads."""

    def __init__(self, layout: Layout, shared: Shared | None) -> None:
        entities = layout.catalog.entities
        self._layout = layout
        self._shared = shared
        self._configurations: Kept[tuple[str, str], tuple[int, Configuration]] = Kept(
            _CONFIGURATIONS
        )
        self._viewers: Kept[tuple[str, str, str], Viewer] = Kept(_VIEWERS)
        self._flights = [Lock() for _ in range(_FLIGHTS)]
        self._longer = {name: decision.longer(layout, name) for name in entities}
        self._whole = {name: decision.whole(layout, name) for name in entities}

    def remembered(self, tenant: str, user: str, entity: str) -> Viewer | None:
        """What decided for the user last; to be used at its version only."""
        return self._viewers.get((tenant, user, entity))

    def fresh(
        self, connection: sa.Connection, tenant: str, user: str, entity: str, record: str | None
    ) -> tuple[Viewer, sa.Row[Any]]:
        """What decides for the user, and the row of `decision.longer`, of one snapshot."""
        values = {"tenant": tenant, "user": user, "record": record}
        row = sql.run(connection, self._longer[entity], values).one()
        known = self._known(tenant, entity, row)
        if known is None:
            # One thread reads it; those that waited for it look again.
            with self._flights[hash((tenant, entity)) % _FLIGHTS]:
                known = self._known(tenant, entity, row)
                if known is None:
                    row, known = self._read(connection, entity, values)
        made = viewer.viewer(row.version or 0, user, row.teams, known.people, known.rules)
        if row.kept:
            self._viewers.put((tenant, user, entity), made)
        return made, row

    def _known(self, tenant: str, entity: str, row: sa.Row[Any]) -> Configuration | None:
        """The configuration at the version of `row`, if it is here or in Redis."""
        if not row.kept:
            return None
        here = self._configurations.get((tenant, entity))
        if here is not None and here[0] == row.tenant_version:
            return here[1]
        found = self._shared and self._shared.get(tenant, entity, row.tenant_version)
        if not found:
            return None
        made = Configuration(found[0], viewer.rules(found[1]))
        self._configurations.put((tenant, entity), (row.tenant_version, made))
        return made

    def _read(
        self, connection: sa.Connection, entity: str, values: dict[str, str | None]
    ) -> tuple[sa.Row[Any], Configuration]:
        row = everything(connection, self._layout, self._whole[entity], entity, values)
        tenant = str(values["tenant"])
        made = configuration(self._layout, tenant, row)
        if row.kept:
            self._configurations.put((tenant, entity), (row.tenant_version, made))
            if self._shared is not None:
                version = row.tenant_version
                self._shared.put(tenant, entity, version, made.people, made.rules.rules)
        return row, made


def everything(
    connection: sa.Connection,
    layout: Layout,
    text: str,
    entity: str,
    values: dict[str, str | None],
) -> sa.Row[Any]:
    """The row of `decision.whole` or `decision.everyone`."""
    wanted = {
        "tenants": [values["tenant"]],
        "wanted": [entity],
        "known": list(layout.catalog.entities),
    }
    return sql.run(connection, text, values, **wanted).one()


def configuration(layout: Layout, tenant: str, row: sa.Row[Any]) -> Configuration:
    """What such a row says of the tenant."""
    read, broken = rules.understood(tenant, rules.rows(row.rules), rules.parser(layout))
    return Configuration(people.read(row.people), viewer.rules(read), tuple(broken))


def cells(layout: Layout, entity: str, found: Viewer, row: sa.Row[Any]) -> list[Any]:
    """The cells that the tests of a viewer read, out of a row with all of them."""
    places = {name: at for at, name in enumerate(layout.testable(entity), start=decision.FACTS)}
    return [row[places[name]] for name in found.fields]


__all__ = ["Configuration", "Lookup", "cells", "configuration", "everything"]
