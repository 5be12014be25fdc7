"""Decides who may see what, from what PostgreSQL says at that moment.

What is remembered between decisions is used only at the version that the query of the decision
itself returns. On any doubt PostgreSQL is asked for everything; without it there is an error, and
no grant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, errors, pipelined, prepared, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.read.keys import Keys
from crm_ops.sharing import decision, explanation, layout, lookup, tenant_setting, viewer, visible
from crm_ops.sharing.explanation import Explanation, Seer
from crm_ops.sharing.kept import Kept
from crm_ops.sharing.lookup import Lookup
from crm_ops.sharing.rules import Level
from crm_ops.sharing.shared import Shared
from crm_ops.sharing.viewer import Viewer
from crm_ops.sharing.visible import Visible

# One takes some kilobytes: the owners below a manager, and the rules.
_CONDITIONS = 2_000

# How often a list is asked for again, because something changed in between.
_TRIES = 10


@dataclass(frozen=True)
class User:
    """A user of a tenant, by their keys."""

    tenant: str
    key: str


@dataclass(frozen=True)
class Record:
    """A record of an entity, by its key."""

    entity: str
    key: str


class Access:
    """Answers for one catalog; made once in a process, for all its threads.

    Each call takes a connection of the caller's, in a transaction or in autocommit; in REPEATABLE
    READ the answers are as of its snapshot.
    """

    def __init__(
        self, connection: sa.Connection, catalog: Catalog, *, shared: Shared | None = None
    ) -> None:
        with database.translated(connection.engine):
            self._layout = layout.read(connection, catalog, list(catalog.entities))
        self._keys = Keys(self._layout)
        self._setting = self._layout.setting
        self._lookup = Lookup(self._layout, shared)
        self._conditions: Kept[tuple[str, str, str], tuple[Viewer, Visible]] = Kept(_CONDITIONS)
        self._short: dict[tuple[str, tuple[str, ...]], str] = {}

    def may(
        self, connection: sa.Connection, user: User, record: Record, level: Level = "read_only"
    ) -> bool:
        """Whether `user` may do this with `record`; False also where either is not there."""
        wanted = viewer.LEVELS.get(level)
        if wanted is None:
            raise errors.ParameterError(
                f"{level!r} is no level; there are {', '.join(viewer.LEVELS)}"
            )
        tenant, entity = user.tenant, record.entity
        with self._reading(connection, tenant, entity, user=user.key, record=record.key):
            found = self._lookup.remembered(tenant, user.key, entity)
            if found is not None:
                values = {"tenant": tenant, "user": user.key, "record": record.key}
                text = self._text(entity, found)
                known: Any = prepared.row(connection, text, values)
                version, there, owner, share, *cells = known
                if version == found.version:
                    return there and found.may(wanted, owner, share, cells)
            found, row = self._lookup.fresh(connection, tenant, user.key, entity, record.key)
        cells = lookup.cells(self._layout, entity, found, row)
        return row.there and found.may(wanted, row.owner, row.share, cells)

    def visible(self, connection: sa.Connection, user: User, entity: str) -> Visible:
        """The records of `entity` that `user` may read, as SQL about a table called `r`.

        Raises SettingsError where no triggers would end it when something changes.
        """
        with self._reading(connection, user.tenant, entity, user=user.key):
            found = self._lookup.remembered(user.tenant, user.key, entity)
            if found is None:
                found = self._viewer(connection, user, entity)
            return self._visible(user.tenant, entity, found)

    def rows(
        self,
        connection: sa.Connection,
        user: User,
        entity: str,
        text: Callable[[Visible], str],
        values: Mapping[str, Any] | None = None,
    ) -> list[sa.Row[Any]]:
        """The rows of a query that uses the condition, all of one snapshot.

        `text` is given the condition and writes the query; it is asked again where something has
        just changed. Before the query's columns each row has `visible_current` and `visible_there`.
        """
        return self.asked(connection, user, entity, lambda given: (text(given), values or {}))

    def asked(
        self,
        connection: sa.Connection,
        user: User,
        entity: str,
        write: Callable[[Visible], tuple[str, Mapping[str, Any]]],
        *,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[sa.Row[Any]]:
        """The same of a query whose values follow from the condition, too.

        With `meanwhile`, which is called while PostgreSQL works, its columns have names of their
        own.
        """
        given = self.visible(connection, user, entity)
        with self._reading(connection, user.tenant, entity, user=user.key):
            for _ in range(_TRIES):
                text, values = write(given)
                # Also where the query finds nothing there is a row, which says whether it counts.
                current = (
                    f"SELECT v.visible_current, q.* FROM (SELECT {given.current}) AS v"
                    " (visible_current) LEFT JOIN LATERAL"
                    f" (SELECT true AS visible_there, w.* FROM ({text}) AS w) AS q ON true"
                )
                bound = {**given.values, **values}
                found: Sequence[sa.Row[Any]]
                if meanwhile is None:
                    found = sql.run(connection, current, bound).all()
                else:
                    found = pipelined.rows(connection, current, bound, meanwhile=meanwhile)
                if found[0].visible_current:
                    return [row for row in found if row.visible_there]
                found_now = self._viewer(connection, user, entity)
                given = self._visible(user.tenant, entity, found_now)
        raise errors.DatabaseBusy(
            f"who may see what in tenant {user.tenant} changes faster than it is read; try again"
        )

    def keys(self, connection: sa.Connection, user: User, entity: str) -> frozenset[str]:
        """The keys of all records of `entity` that `user` may read, as text."""
        self._keys.require(user.tenant, entity, user=user.key)
        declared = self._layout.catalog.entities[entity]
        key = f"r.{sql.identifier(declared.key)}::text AS key"
        table = sql.Relation.parse(declared.table).quoted
        found = self.rows(
            connection,
            user,
            entity,
            lambda given: f"SELECT {key} FROM {table} AS r WHERE {given.condition}",
        )
        return frozenset(row.key for row in found)

    def explain(self, connection: sa.Connection, user: User, record: Record) -> Explanation:
        """By which ways `user` may see `record`, or why not; asks PostgreSQL for everything."""
        tenant, entity = user.tenant, record.entity
        with self._reading(connection, tenant, entity, user=user.key, record=record.key):
            return explanation.of(connection, self._layout, tenant, user.key, entity, record.key)

    def who(self, connection: sa.Connection, tenant: str, record: Record) -> list[Seer]:
        """All users of the tenant who may see `record`; asks PostgreSQL for everything."""
        with self._reading(connection, tenant, record.entity, record=record.key):
            return explanation.everyone(connection, self._layout, tenant, record.entity, record.key)

    def _reading(
        self,
        connection: sa.Connection,
        tenant: str,
        entity: str,
        *,
        user: str | None = None,
        record: str | None = None,
    ) -> AbstractContextManager[None]:
        """Read as the tenant, once all that is given can be a key."""
        self._keys.require(tenant, entity, user=user, record=record)
        if self._setting is None:
            return database.translated(connection.engine)
        return self._as_tenant(connection, tenant)

    @contextmanager
    def _as_tenant(self, connection: sa.Connection, tenant: str) -> Iterator[None]:
        with (
            database.translated(connection.engine),
            tenant_setting.made(connection, self._setting, tenant),
        ):
            yield

    def _text(self, entity: str, found: Viewer) -> str:
        key = (entity, found.fields)
        text = self._short.get(key)
        if text is None:
            text = self._short[key] = decision.short(self._layout, entity, found.fields)
        return text

    def _visible(self, tenant: str, entity: str, found: Viewer) -> Visible:
        """The condition of what decides for a user, written once."""
        key = (tenant, found.user, entity)
        kept = self._conditions.get(key)
        if kept is not None and kept[0] is found:
            return kept[1]
        made = visible.of(self._layout, entity, tenant, found)
        self._conditions.put(key, (found, made))
        return made

    def _viewer(self, connection: sa.Connection, user: User, entity: str) -> Viewer:
        found, row = self._lookup.fresh(connection, user.tenant, user.key, entity, None)
        if not row.kept:
            raise errors.SettingsError(
                "nothing says when sharing changes, so no condition can be made of it; install the"
                " triggers with `crm-ops catalog apply`"
            )
        return found


__all__ = ["Access", "Record", "User"]
