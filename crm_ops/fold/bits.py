"""The SQL of bitmaps from scratch: the rows' positions, and which rows are in which bucket.

A pure function of the catalog and the column types. A row is named by its position, four bytes big
end first; the positions of a bucket come joined together as one bytea. The facet '' has all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_POSITION
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import links, rows, splits

# GROUPING() takes at most 31 arguments.
_MOST = 30
_JOINED = "string_agg(int4send(position), ''::bytea)"


def single(counted: rows.Counted) -> list[splits.Split]:
    """The facets that put each row into one bucket."""
    return [
        splits.make(name, facet, counted.types, counted.catalog.time_zone)
        for name, facet in counted.entity.facets.items()
        if not isinstance(facet, LinkFacet)
    ]


def gone(counted: rows.Counted) -> str:
    """Forgets the positions of rows of the set bound as `set` that are not there any more."""
    return f"""
DELETE FROM {BITMAP_POSITION.quoted} AS known
WHERE set_id = %(set)s AND NOT EXISTS (
  SELECT FROM {counted.table.quoted} AS r
  WHERE {rows.condition(counted)} AND {row_key(counted)} = known.key)
"""


def come(counted: rows.Counted) -> str:
    """Gives positions from `first` on to the rows of the set that have none, in their order."""
    created = counted.entity.created
    order = "" if created is None else f"r.{sql.identifier(created)}, "
    key = f"r.{sql.identifier(counted.entity.key)}"
    return f"""
INSERT INTO {BITMAP_POSITION.quoted} (set_id, key, position)
SELECT %(set)s, {row_key(counted)}, %(first)s + row_number() OVER (ORDER BY {order}{key}) - 1
FROM {counted.table.quoted} AS r
WHERE {rows.condition(counted)} AND {key} IS NOT NULL AND NOT EXISTS (
  SELECT FROM {BITMAP_POSITION.quoted} AS known
  WHERE known.set_id = %(set)s AND known.key = {row_key(counted)})
ON CONFLICT DO NOTHING
"""


def recount(counted: rows.Counted) -> str:
    """One SELECT: (facet, bucket, n, bits) of the tenant bound in `tenants`, from scratch."""
    placed = (
        f"{counted.table.quoted} AS r JOIN {BITMAP_POSITION.quoted} AS known"
        f" ON known.set_id = %(set)s AND known.key = {row_key(counted)}"
    )
    found = [
        _scan(chunk, placed, rows.condition(counted), total=total)
        for chunk, total in _chunks(single(counted))
    ]
    found += [_linked(counted, name, facet) for name, facet in links.of_entity(counted)]
    return "\nUNION ALL\n".join(found)


def row_key(counted: rows.Counted) -> str:
    """The key of a row `r`, as the positions know it."""
    return f'r.{sql.identifier(counted.entity.key)}::text COLLATE "C"'


def _chunks(facets: Sequence[splits.Split]) -> Iterator[tuple[Sequence[splits.Split], bool]]:
    """The facets that one scan groups by, and whether it tells all rows, too."""
    for at in range(0, max(len(facets), 1), _MOST):
        yield facets[at : at + _MOST], at == 0


def _scan(chunk: Sequence[splits.Split], source: str, condition: str, *, total: bool) -> str:
    keys = [f"f{number}" for number in range(len(chunk))]
    columns = ", ".join(
        ["known.position", *(f"{s.key} AS {k}" for s, k in zip(chunk, keys, strict=True))]
    )
    figures = {"n": "count(*)", "bits": _JOINED}
    return _grouped(
        chunk, keys, f"(SELECT {columns} FROM {source} WHERE {condition})", figures, total=total
    )


def _grouped(
    chunk: Sequence[splits.Split],
    keys: Sequence[str],
    source: str,
    figures: Mapping[str, str],
    *,
    total: bool,
) -> str:
    """(facet, bucket, figures) of the rows in `source`, each facet one grouping set."""
    sets = [""] * total + list(keys)
    everything = (1 << len(keys)) - 1
    # GROUPING()'s bits: the first key's is the highest, and 0 where a row is grouped by the key.
    masks = [str(everything ^ (1 << (len(keys) - 1 - at))) for at in range(len(keys))]
    grouping = f"GROUPING({', '.join(keys)})" if keys else "0"
    names = {mask: sql.literal(split.name) for mask, split in zip(masks, chunk, strict=True)}
    texts = {m: s.text(key) for m, s, key in zip(masks, chunk, keys, strict=True)}
    inner = "".join(f"{each}, " for each in keys)
    return f"""
SELECT {sql.choose("g", names, "''")} AS facet, {sql.choose("g", texts, "NULL")} AS bucket,
       {", ".join(figures)}
FROM (
  SELECT {inner}{grouping} AS g, {", ".join(f"{text} AS {name}" for name, text in figures.items())}
  FROM {source} AS source
  GROUP BY GROUPING SETS ({", ".join(f"({each})" for each in sets)})
) AS grouped
"""


def _linked(counted: rows.Counted, name: str, facet: LinkFacet) -> str:
    value = f"link.{sql.identifier(facet.column)}"
    return f"""
SELECT {sql.literal(name)} AS facet, {splits.clipped("value")} AS bucket, count(*) AS n,
       {_JOINED} AS bits
FROM (
  SELECT DISTINCT known.position, {value}::text AS value
  FROM {counted.table.quoted} AS r
  JOIN {BITMAP_POSITION.quoted} AS known
    ON known.set_id = %(set)s AND known.key = {row_key(counted)}
  JOIN {sql.Relation.parse(facet.table).quoted} AS link
    ON link.{sql.identifier(facet.parent)} = r.{sql.identifier(counted.entity.key)}
  WHERE {rows.condition(counted)} AND {value} IS NOT NULL
) AS pairs
GROUP BY value
"""


__all__ = ["come", "gone", "recount", "row_key", "single"]
