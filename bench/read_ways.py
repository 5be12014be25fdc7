"""The ways of a search that ask PostgreSQL and Redis, and what they all must agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from bench import questions
from bench.case import OURS
from bench.questions import Question
from crm_ops.base import database, names, sql, store
from crm_ops.catalog.facets import DateFacet, LinkFacet, RangesFacet
from crm_ops.read import page, question, search
from crm_ops.read.access import Access, User
from crm_ops.read.answers import Answer
from crm_ops.read.condition import Condition
from crm_ops.read.layout import Layout, column
from crm_ops.read.question import Visible
from crm_ops.read.reader import Reader

PAGE = 50

Counts = Mapping[tuple[str, str | None], int]
"""How many rows there are by facet and bucket; the facet '' has the total."""


class Way(Protocol):
    """One way to answer a question with a page of rows, the total and every facet's counts."""

    @property
    def name(self) -> str:
        """What it is called in a table."""

    def ask(self, asked: Question) -> Any:
        """The answer, in a form of its own."""

    def counts(self, answer: Any) -> Counts:
        """The counts of an answer."""


class Ours:
    """Our reader."""

    def __init__(self, reader: Reader, name: str = OURS) -> None:
        self.name = name
        self._reader = reader

    def ask(self, asked: Question) -> Answer:
        """Search."""
        return self._reader.search(
            "lead",
            tenant=asked.tenant,
            filters=asked.filters,
            text=asked.text,
            as_user=asked.user,
            limit=PAGE,
        )

    def counts(self, answer: Answer) -> Counts:
        """Of its facets."""
        found: dict[tuple[str, str | None], int] = {("", None): answer.total}
        for name, facet in answer.facets.items():
            found |= {(name, bucket.value): bucket.count for bucket in facet.buckets}
        return found


class OneStatement:
    """Everything counted at that moment, in one statement: GROUPING SETS, and the page."""

    name = "one GROUPING SETS query"

    def __init__(self, engine: sa.Engine, layout: Layout, access: Access) -> None:
        self._engine = engine
        self._layout = layout
        self._access = access

    def ask(self, asked: Question) -> sa.Row[Any]:
        """Its one row."""
        with database.autocommit(self._engine) as connection:
            if asked.user is None:
                statement = self._statement(asked, None)
                return sql.run(connection, statement.text, statement.values).one()
            given = self._access.visible(connection, User(asked.tenant, asked.user), "lead")
            statement = self._statement(asked, Visible(asked.user, Condition(given.condition)))
            values = {**statement.values, **given.values}
            return sql.run(connection, statement.text, values).one()

    def _statement(self, asked: Question, visible: Visible | None) -> Condition:
        made = question.make(
            self._layout,
            asked.tenant,
            filters=asked.filters,
            text=asked.text,
            sort=None,
            limit=PAGE,
            after=None,
            visible=visible,
            not_older_than=None,
            now=datetime.now(UTC),
            signing_key=None,
        )
        return search.live(made)

    def counts(self, answer: sa.Row[Any]) -> Counts:
        """Of its JSON."""
        return {(facet, bucket): n for facet, bucket, _, n in answer.counts}


class OldWay:
    """One GROUP BY query for each facet, a count for the total, and a page by OFFSET.

    A filtered facet is counted under the other filters, too, so that all ways answer the same.
    """

    name = "old way"

    def __init__(self, engine: sa.Engine, layout: Layout) -> None:
        self._engine = engine
        self._layout = layout

    def ask(self, asked: Question) -> dict[str, Sequence[Any]]:
        """The rows of each query, by facet; '' has the total's."""
        tests = {name: self._test(name, values) for name, values in asked.filters.items()}
        own = f"company_id = {asked.tenant} AND deleted_at IS NULL"
        kept = " AND ".join([own, *tests.values()])
        found = {}
        with database.autocommit(self._engine) as connection:
            for name in self._layout.entity.facets:
                others = " AND ".join([own, *(t for other, t in tests.items() if other != name)])
                split = questions.split(self._layout, name)
                query = f"SELECT {split.key} AS key, count(*) AS n FROM crm.lead AS r"
                found[name] = sql.run(
                    connection,
                    f"SELECT {split.text('key')}, n"
                    f" FROM ({query} WHERE {others} GROUP BY 1) AS counted",
                ).all()
            query = f"SELECT NULL, count(*) FROM crm.lead AS r WHERE {kept}"
            found[""] = sql.run(connection, query).all()
            sql.run(
                connection,
                f"SELECT {shown(self._layout)} FROM crm.lead AS r WHERE {kept}"
                f" ORDER BY created_at DESC, id DESC LIMIT {PAGE} OFFSET 0",
            ).all()
        return found

    def counts(self, answer: dict[str, Sequence[Any]]) -> Counts:
        """Of its rows."""
        return {(name, row[0]): row[1] for name, rows in answer.items() for row in rows}

    def _test(self, name: str, values: tuple[str, ...]) -> str:
        facet = self._layout.entity.facets[name]
        assert not isinstance(facet, LinkFacet)
        wanted = ", ".join(sql.literal(value) for value in values)
        if isinstance(facet, RangesFacet | DateFacet):
            split = questions.split(self._layout, name)
            return f"{split.text(split.key)} IN ({wanted})"
        return f"{sql.identifier(facet.column)} IN ({wanted})"


def shown(layout: Layout) -> str:
    """The columns of a page's rows, as SQL."""
    return ", ".join(column(name) for name in page.columns(layout))


class RedisFloor:
    """One round trip to Redis that brings what we have there."""

    name = "floor: one Redis round trip"

    def __init__(self, redis: store.Client) -> None:
        self._redis = redis

    def ask(self, asked: Question) -> object:
        """The value, as it is."""
        return self._redis.get(names.facets_key("lead", asked.tenant))


class PageFloor:
    """One page of rows by the primary key, in one round trip to PostgreSQL."""

    name = "floor: one primary-key page"

    def __init__(self, engine: sa.Engine, layout: Layout) -> None:
        self._engine = engine
        self._query = (
            f"SELECT {shown(layout)} FROM crm.lead AS r WHERE id > 0 ORDER BY id LIMIT {PAGE}"
        )

    def ask(self, _: Question) -> object:
        """The rows."""
        with database.autocommit(self._engine) as connection:
            return sql.run(connection, self._query).all()


__all__ = [
    "PAGE",
    "Counts",
    "OldWay",
    "OneStatement",
    "Ours",
    "PageFloor",
    "RedisFloor",
    "Way",
    "shown",
]
