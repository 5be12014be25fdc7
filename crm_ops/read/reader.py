"""What a CRM calls: made once in a process, safe in all its threads, with connections handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import Any

import sqlalchemy as sa
from psycopg.rows import namedtuple_row

from crm_ops.base import database, errors, pipelined, prepared, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy, SingleTenancy
from crm_ops.read import layout, narrowed, question, reports, search
from crm_ops.read.access import Access, User
from crm_ops.read.answers import Answer, Report
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Kept
from crm_ops.read.layout import Layout
from crm_ops.read.narrowed import Means
from crm_ops.read.published import Published
from crm_ops.read.question import Filters, Question, Value, Visible
from crm_ops.read.visibility import Views
from crm_ops.sharing import visible


class Reader:
    """Searches and reports of one catalog.

    `engine` is best made by `crm_ops.engine`, `redis` by `crm_ops.redis_client`; without Redis
    PostgreSQL answers alone. The signing key makes cursors that nobody else can, and has only those
    counts believed that the jobs sealed with it. `access` decides what users may see; it is needed
    for searches `as_user`.
    """

    def __init__(
        self,
        catalog: Catalog,
        engine: sa.Engine,
        redis: store.Client | None = None,
        *,
        access: Access | None = None,
        signing_key: bytes | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._published = Published(redis, signing_key)
        self._kept = Kept()
        self._views = Views()
        self._access = access
        self._signing_key = signing_key
        self._clock = clock
        self._layouts: dict[str, Layout] = {}
        self._reading = Lock()

    def search(
        self,
        entity: str,
        *,
        tenant: str | int | None = None,
        filters: Filters | None = None,
        text: str = "",
        sort: str | None = None,
        limit: int = 50,
        after: str | None = None,
        as_user: str | int | None = None,
        not_older_than: datetime | None = None,
    ) -> Answer:
        """One page of rows, the exact total, and the counts of every facet.

        `filters` maps facets to a bucket or several; `text` is looked for in the declared texts;
        `sort` names a declared column, with a - in front for falling; `after` is the `next` of the
        page before. Without `limit` rows nothing is read but counts. Counts older than
        `not_older_than` are counted anew. Only what `as_user` may see is shown and counted. Raises
        `ParameterError` for what is not declared.
        """
        found = self._layout(entity)

        def make(visible: Visible | None) -> Question:
            return question.make(
                found,
                self._tenant(tenant),
                filters=filters or {},
                text=text,
                sort=sort,
                limit=limit,
                after=after,
                visible=visible,
                not_older_than=not_older_than,
                now=self._clock(),
                signing_key=self._signing_key,
            )

        if as_user is not None:
            return self._seen_by(str(as_user), make)
        asked = make(None)

        ask = partial(self._row, asked.tenant)

        def written(write: narrowed.Write, meanwhile: Callable[[], object]) -> sa.Row[Any]:
            made = write(asked, None)
            return ask(made.text, made.values, meanwhile=meanwhile)

        means = self._means(written, user=False)
        return search.answer(asked, means, ask, signing_key=self._signing_key)

    def report(
        self,
        name: str,
        *,
        tenant: str | int | None = None,
        by: Sequence[str] | None = None,
        filters: Filters | None = None,
        begin: str | None = None,
        end: str | None = None,
        not_older_than: datetime | None = None,
    ) -> Report:
        """The figures of a declared aggregate, by all of its dimensions or those in `by`.

        A dimension of dates is rolled up as `close_month:quarter`; `by=()` is the total. `begin`
        and `end` are calendar periods (2026-03), both included. Raises `ParameterError` for what
        was not declared, naming what is.
        """
        declared = reports.declared(self._catalog, name)
        found = self._layout(declared.entity)
        asked = reports.make(
            found,
            name,
            self._tenant(tenant),
            by=by,
            filters=filters or {},
            begin=begin,
            end=end,
            not_older_than=not_older_than,
            now=self._clock(),
        )

        ask = partial(self._row, asked.tenant)
        return reports.answer(asked, ask, partial(ask, often=True))

    def _seen_by(self, user: str, make: Callable[[Visible | None], Question]) -> Answer:
        """The answer for a user: whether the rules are the newest, its statement says."""
        if self._access is None:
            raise errors.ParameterError("to search as a user the reader needs `access`")
        access = self._access

        def seen(condition: str) -> Question:
            return make(Visible(user, Condition(condition)))

        asked = seen("true")
        name = asked.layout.counted.name

        def written(write: narrowed.Write, meanwhile: Callable[[], object]) -> sa.Row[Any]:
            def of(given: visible.Visible) -> tuple[str, Mapping[str, Any]]:
                made = write(seen(given.condition), given)
                return made.text, made.values

            with database.autocommit(self._engine) as connection:
                who = User(asked.tenant, user)
                (row,) = access.asked(connection, who, name, of, meanwhile=meanwhile)
            return row

        def ask(*_: object, **__: object) -> sa.Row[Any]:
            raise AssertionError("what a user may not see would be counted")

        means = self._means(written, user=True)
        return search.answer(asked, means, ask, signing_key=self._signing_key)

    def _means(self, ask: narrowed.Ask, *, user: bool) -> Means:
        return Means(self._published, self._kept, self._views, ask, user)

    def _layout(self, entity: str) -> Layout:
        """What the entity's tables are like, looked up at its first use."""
        found = self._layouts.get(entity)
        if found is not None:
            return found
        with self._reading:
            if entity not in self._layouts:
                with database.transaction(self._engine) as connection:
                    self._layouts[entity] = layout.read(connection, self._catalog, entity)
            return self._layouts[entity]

    def _tenant(self, tenant: str | int | None) -> str:
        if tenant is not None:
            return str(tenant)
        if isinstance(self._catalog.tenancy, SingleTenancy):
            return self._catalog.tenancy.name
        raise errors.ParameterError("no tenant is named; say whose rows are searched")

    def _row(
        self,
        tenant: str,
        statement: str,
        values: Mapping[str, Any],
        /,
        *,
        often: bool = False,
        meanwhile: Callable[[], object] | None = None,
    ) -> sa.Row[Any]:
        """The one row of a statement, in one round trip; as the tenant where policies ask.

        What is asked `often` is planned once for each connection.
        """
        tenancy = self._catalog.tenancy
        setting = tenancy.setting if isinstance(tenancy, ColumnTenancy) else None
        if setting is not None:
            with database.transaction(self._engine) as connection:
                sql.run(
                    connection,
                    "SELECT set_config(%(setting)s, %(tenant)s, true)",
                    setting=setting,
                    tenant=tenant,
                )
                return sql.run(connection, statement, values).one()

        def once() -> sa.Row[Any]:
            found: sa.Row[Any]
            with database.autocommit(self._engine) as connection:
                if often:
                    found = prepared.row(connection, statement, values, namedtuple_row)
                else:
                    found = pipelined.first(connection, statement, values, meanwhile=meanwhile)
                return found

        try:
            return once()
        except errors.DatabaseUnavailable:
            # A connection that was kept may have died meanwhile; to read twice does no harm.
            return once()


__all__ = ["Filters", "Reader", "Value"]
