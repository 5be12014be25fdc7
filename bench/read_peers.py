"""Peers of a search: engines that hold a copy of the leads in this process's memory.

Both are given each lead's buckets ready made, as texts; '-' stands for no value. Neither is kept up
to date: what changes after the copy was made is not in it.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
import tantivy

from bench import questions, tenants
from bench.questions import Question
from bench.read_ways import PAGE, Counts
from bench.report import say
from crm_ops.base import database
from crm_ops.read.layout import Layout

_NOTHING = "-"
# As many as an index gives room to before it writes a segment.
_HEAP_BYTES = 400_000_000
_MOST_BUCKETS = 5_000
# What a page shows beside the key and the buckets.
_SHOWN = ("name", "company_name", "email")


class DuckDb:
    """A table in memory; GROUPING SETS for what is not filtered, and the page."""

    name = "DuckDB in memory"

    def __init__(self, leads: Path, facets: Sequence[str]) -> None:
        say("DuckDB: loading")
        self._facets = tuple(facets)
        self._database = duckdb.connect(":memory:")
        columns = ", ".join(f"{name} VARCHAR" for name in (*_SHOWN, *self._facets))
        self._database.execute(
            f"CREATE TABLE lead (tenant INTEGER, id BIGINT, created BIGINT, {columns})"
        )
        self._database.execute(f"COPY lead FROM '{leads}' (FORMAT csv, HEADER false)")

    def ask(self, asked: Question) -> list[Any]:
        """The rows (facet, bucket, n)."""
        tests = {
            name: f"{name} IN ({', '.join(['?'] * len(values))})"
            for name, values in asked.filters.items()
        }
        free = [name for name in self._facets if name not in tests]
        cursor = self._database.cursor()
        kept, bound = self._kept(asked, tests, "")
        sets = ", ".join(["()", *(f"({name})" for name in free)])
        found = cursor.execute(
            f"SELECT {', '.join(free)}, GROUPING({', '.join(free)}), count(*)"
            f" FROM lead WHERE {kept} GROUP BY GROUPING SETS ({sets})",
            bound,
        ).fetchall()
        counts = [self._named(free, row) for row in found]
        for name in tests:
            others, values = self._kept(asked, tests, name)
            rows = cursor.execute(
                f"SELECT {name}, count(*) FROM lead WHERE {others} GROUP BY 1", values
            ).fetchall()
            counts += [(name, bucket, n) for bucket, n in rows]
        cursor.execute(
            f"SELECT * FROM lead WHERE {kept} ORDER BY created DESC, id DESC LIMIT {PAGE}", bound
        ).fetchall()
        return counts

    def counts(self, answer: list[Any]) -> Counts:
        """Of its rows."""
        return {(name, None if b == _NOTHING else b): n for name, b, n in answer}

    def _kept(self, asked: Question, tests: dict[str, str], but: str) -> tuple[str, list[Any]]:
        kept = [text for name, text in tests.items() if name != but]
        bound = [v for name, values in asked.filters.items() if name != but for v in values]
        return " AND ".join(["tenant = ?", *kept]), [int(asked.tenant), *bound]

    def _named(self, free: Sequence[str], row: tuple[Any, ...]) -> tuple[str, Any, int]:
        *buckets, mask, n = row
        everything = (1 << len(free)) - 1
        for at, name in enumerate(free):
            if mask == everything ^ (1 << (len(free) - 1 - at)):
                return name, buckets[at], n
        return "", None, n


class Tantivy:
    """A search engine's index in memory: one aggregation over columns, and the page."""

    name = "tantivy in memory"

    def __init__(self, leads: Path, facets: Sequence[str]) -> None:
        say("tantivy: loading")
        self._facets = tuple(facets)
        builder = tantivy.SchemaBuilder()
        for name in ("tenant", *self._facets):
            builder.add_text_field(name, stored=True, fast=True, tokenizer_name="raw")
        for name in _SHOWN:
            builder.add_text_field(name, stored=True, tokenizer_name="raw")
        builder.add_integer_field("id", stored=True)
        builder.add_integer_field("created", stored=True, fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema)
        writer = self._index.writer(_HEAP_BYTES, 2)
        columns = ("tenant", "id", "created", *_SHOWN, *self._facets)
        with leads.open(newline="", encoding="utf-8") as lines:
            for row in csv.reader(lines):
                document = tantivy.Document()
                for name, value in zip(columns, row, strict=True):
                    if name in ("id", "created"):
                        document.add_integer(name, int(value))
                    else:
                        document.add_text(name, value)
                writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def ask(self, asked: Question) -> dict[str, Any]:
        """Its aggregations by facet; '' has the total."""
        searcher = self._index.searcher()
        kept = self._query(asked, "")
        free = [name for name in self._facets if name not in asked.filters]
        found = searcher.aggregate(kept, {name: _terms(name) for name in free})
        for name in asked.filters:
            found |= searcher.aggregate(self._query(asked, name), {name: _terms(name)})
        hits = searcher.search(kept, PAGE, order_by_field="created")
        for _, address in hits.hits:
            searcher.doc(address)
        return {**found, "": hits.count}  # type: ignore[attr-defined]

    def counts(self, answer: dict[str, Any]) -> Counts:
        """Of its aggregations."""
        found: dict[tuple[str, str | None], int] = {("", None): answer[""]}
        for name in self._facets:
            for bucket in answer[name]["buckets"]:
                value = None if bucket["key"] == _NOTHING else bucket["key"]
                found[name, value] = bucket["doc_count"]
        return found

    def _query(self, asked: Question, but: str) -> tantivy.Query:
        wanted = {name: list(values) for name, values in asked.filters.items() if name != but}
        parts = [
            tantivy.Query.term_set_query(self._schema, name, values)
            for name, values in {"tenant": [asked.tenant], **wanted}.items()
        ]
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in parts])


def _terms(name: str) -> dict[str, Any]:
    return {"terms": {"field": name, "size": _MOST_BUCKETS}}


@contextmanager
def copied(engine: sa.Engine, layout: Layout) -> Iterator[Path]:
    """A CSV file of each lead's tenant, key, moment, what is shown of it, and its buckets."""
    made = [questions.split(layout, name) for name in layout.entity.facets]
    buckets = ", ".join(f"coalesce({each.text(each.key)}, '{_NOTHING}')" for each in made)
    texts = ", ".join(f"coalesce(r.{name}, '{_NOTHING}')" for name in _SHOWN)
    query = (
        "SELECT company_id, id, (extract(epoch FROM created_at) * 1000000)::bigint,"
        f" {texts}, {buckets} FROM crm.lead AS r WHERE deleted_at IS NULL"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leads.csv"
        with (
            path.open("wb") as file,
            database.transaction(engine) as connection,
            tenants.driver(connection).cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as chunks,
        ):
            for chunk in chunks:
                file.write(chunk)
        yield path


__all__ = ["DuckDb", "Tantivy", "copied"]
