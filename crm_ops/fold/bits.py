"""The SQL of bitmaps from scratch: the rows' positions, and which rows are in which bucket.

A pure function of the catalog and the column types. It serves all sets bound as `sets`, whose
tenants are bound as `tenants`. A row is named by its position, four bytes big end first; the
positions of a bucket come joined together as one bytea.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_POSITION, BITMAP_SET
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import links, rows, splits

# A table of the transaction alone: one pass over the CRM's rows serves all facets.
PLACED = "pg_temp.crm_ops_placed"


@dataclass(frozen=True)
class Scan:
    """A SELECT of (set_id, position, keys...) that is put into `PLACED`, and what is read there.

    `buckets` has by facet the key that its rows are grouped by, and the name of a bucket as SQL,
    from the key in the column `key`. The facet '' has all rows in its bucket NULL.
    """

    text: str
    buckets: Mapping[str, tuple[str, str]]


def single(counted: rows.Counted) -> list[splits.Split]:
    """The facets that put each row into one bucket."""
    return [
        splits.make(name, facet, counted.types, counted.catalog.time_zone)
        for name, facet in counted.entity.facets.items()
        if not isinstance(facet, LinkFacet)
    ]


def scans(counted: rows.Counted) -> Iterator[Scan]:
    """What tells the buckets of all facets: first one scan for all but link facets.

    The first has all rows, also those without a position, and what it takes to give them one.
    """
    facets = single(counted)
    created = "NULL::text"
    if counted.entity.created is not None:
        created = f"r.{sql.identifier(counted.entity.created)}"
    key = f"r.{sql.identifier(counted.entity.key)}"
    columns = "".join(f", {split.key} AS f{at}" for at, split in enumerate(facets))
    named = {split.name: (f"f{at}", split.text("key")) for at, split in enumerate(facets)}
    yield Scan(
        f"SELECT made.id AS set_id, known.position, made.positions AS next, {key} AS key,"
        f" {created} AS created{columns} FROM {_rows(counted, 'LEFT')}",
        {"": ("NULL::text", "key"), **named},
    )
    for name, facet in links.of_entity(counted):
        value = f"link.{sql.identifier(facet.column)}"
        linked = f"link.{sql.identifier(facet.parent)} = {key} AND {value} IS NOT NULL"
        yield Scan(
            f"SELECT DISTINCT made.id AS set_id, known.position, {value}::text AS f0"
            f" FROM {sql.Relation.parse(facet.table).quoted} AS link, {_rows(counted)}"
            f" AND {linked}",
            {name: ("f0", splits.clipped("key"))},
        )


LACKING = f"""
SELECT made.id
FROM {BITMAP_SET.quoted} AS made
LEFT JOIN (
  SELECT set_id, count(*) AS n, count(position) AS placed FROM {PLACED} GROUP BY set_id
) AS there ON there.set_id = made.id
WHERE made.id = ANY(%(sets)s::bigint[])
  AND (coalesce(n, 0), coalesce(n, 0)) <> (coalesce(placed, 0), (
    SELECT count(*) FROM {BITMAP_POSITION.quoted} AS known WHERE known.set_id = made.id))
"""
"""The sets of which not each row has a position of its own, or a position no row."""

GONE = f"""
DELETE FROM {BITMAP_POSITION.quoted} AS known
WHERE set_id = ANY(%(sets)s::bigint[]) AND NOT EXISTS (
  SELECT FROM {PLACED} AS placed
  WHERE placed.set_id = known.set_id AND placed.position = known.position)
"""
"""Forgets the positions of rows that are not there any more."""

COME = f"""
INSERT INTO {BITMAP_POSITION.quoted} (set_id, key, position)
SELECT set_id, key::text COLLATE "C",
       next - 1 + row_number() OVER (PARTITION BY set_id ORDER BY created, key)
FROM (
  SELECT set_id, next, key, min(created) AS created FROM {PLACED}
  WHERE position IS NULL AND key IS NOT NULL GROUP BY set_id, next, key
) AS come
"""
"""Gives rows that have none positions never given before, in their order; of one key to one row."""

GIVEN = f"""
UPDATE {BITMAP_SET.quoted} AS made SET positions = greatest(positions, (
  SELECT max(position) + 1 FROM {BITMAP_POSITION.quoted} AS known WHERE known.set_id = made.id))
WHERE id = ANY(%(sets)s::bigint[])
"""
"""Notes which positions were given."""


def buckets(key: str, name: str) -> str:
    """One SELECT: (set_id, bucket, bits) of a facet's rows in a part of `PLACED`.

    The part begins at the row identifier bound as `first` and ends before that bound as `end`.
    """
    return f"""
SELECT set_id, {name} AS bucket, bits
FROM (
  SELECT set_id, {key} AS key, string_agg(int4send(position), ''::bytea) AS bits
  FROM {PLACED} WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid
  GROUP BY set_id, {key}
) AS grouped
"""


def row_key(counted: rows.Counted) -> str:
    """The key of a row `r`, as the positions know it."""
    return f'r.{sql.identifier(counted.entity.key)}::text COLLATE "C"'


def _rows(counted: rows.Counted, join: str = "") -> str:
    """The rows `r` of the sets `made` with their positions, and which count: FROM and WHERE."""
    return (
        f"{counted.table.quoted} AS r"
        f" JOIN {BITMAP_SET.quoted} AS made"
        f" ON made.id = ANY(%(sets)s::bigint[]) AND made.tenant = {rows.tenant(counted)}"
        f" {join} JOIN {BITMAP_POSITION.quoted} AS known"
        f" ON known.set_id = made.id AND known.set_id = ANY(%(sets)s::bigint[])"
        f" AND known.key = {row_key(counted)}"
        f" WHERE {rows.condition(counted)}"
    )


__all__ = [
    "COME",
    "GIVEN",
    "GONE",
    "LACKING",
    "PLACED",
    "Scan",
    "buckets",
    "row_key",
    "scans",
    "single",
]
