"""The SQL of bitmaps: which rows are in which bucket, from scratch and by a batch of changes.

A pure function of the catalog and the column types. A row is named by its position, four bytes big
end first; the positions of a bucket come joined together as one bytea. The facet '' has all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_POSITION, BITMAP_SET, REFRESH
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes import logs
from crm_ops.changes.logs import SIGN
from crm_ops.fold import links, rows, splits

# GROUPING() takes at most 31 arguments.
_MOST = 30
_JOINED = "string_agg(int4send(position), ''::bytea)"

FOLDED = f"""
  SELECT made.id, made.tenant, made.positions
  FROM {BITMAP_SET.quoted} AS made
  JOIN {REFRESH.quoted} AS refresh
    ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
  WHERE made.entity = %(entity)s AND made.definition = %(definition)s AND refresh.captured
    AND refresh.definition = made.definition AND made.unusable IS NULL
"""
"""The sets that changes are folded into: (id, tenant, positions)."""


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
  WHERE {rows.condition(counted)} AND {_key(counted)} = known.key)
"""


def come(counted: rows.Counted) -> str:
    """Gives positions from `first` on to the rows of the set that have none, in their order."""
    created = counted.entity.created
    order = "" if created is None else f"r.{sql.identifier(created)}, "
    key = f"r.{sql.identifier(counted.entity.key)}"
    return f"""
INSERT INTO {BITMAP_POSITION.quoted} (set_id, key, position)
SELECT %(set)s, {_key(counted)}, %(first)s + row_number() OVER (ORDER BY {order}{key}) - 1
FROM {counted.table.quoted} AS r
WHERE {rows.condition(counted)} AND {key} IS NOT NULL AND NOT EXISTS (
  SELECT FROM {BITMAP_POSITION.quoted} AS known
  WHERE known.set_id = %(set)s AND known.key = {_key(counted)})
ON CONFLICT DO NOTHING
"""


def recount(counted: rows.Counted) -> str:
    """One SELECT: (facet, bucket, n, bits) of the tenant bound in `tenants`, from scratch."""
    placed = (
        f"{counted.table.quoted} AS r JOIN {BITMAP_POSITION.quoted} AS known"
        f" ON known.set_id = %(set)s AND known.key = {_key(counted)}"
    )
    found = [
        _scan(chunk, placed, rows.condition(counted), total=total)
        for chunk, total in _chunks(single(counted))
    ]
    found += [_linked(counted, name, facet) for name, facet in links.of_entity(counted)]
    return "\nUNION ALL\n".join(found)


def changes(counted: rows.Counted, log: sql.Relation) -> str:
    """Gives new rows positions and tells what the changes in the log change; empties no log.

    Returns (set_id, facet, bucket, came, went): the positions of images that came into a bucket and
    of those that went out of it. Of many images of one row only the first and the last are left.
    """
    facets = single(counted)
    keys = [f"f{number}" for number in range(len(facets))]
    listed = "".join(f", {key}" for key in keys)
    texts = "".join(f", {split.key} AS {key}" for split, key in zip(facets, keys, strict=True))
    scans = [
        _changed(chunk, total=total, first=_MOST * at)
        for at, (chunk, total) in enumerate(_chunks(facets))
    ]
    return f"""
WITH folded AS MATERIALIZED ({FOLDED}
), image AS MATERIALIZED (
  SELECT folded.id AS set_id, key{listed}, sum(sign) AS n
  FROM (
    SELECT {rows.tenant(counted)} AS tenant, {_key(counted)} AS key,
           r.{sql.identifier(SIGN)} AS sign{texts}
    FROM {log.quoted} AS r
  ) AS logged JOIN folded USING (tenant)
  GROUP BY folded.id, key{listed} HAVING sum(sign) <> 0
), known AS MATERIALIZED (
  SELECT image.*, known.position FROM image
  LEFT JOIN {BITMAP_POSITION.quoted} AS known USING (set_id, key)
), fresh AS (
  INSERT INTO {BITMAP_POSITION.quoted} (set_id, key, position)
  SELECT came.set_id, came.key,
         folded.positions + row_number() OVER (PARTITION BY came.set_id ORDER BY came.key) - 1
  FROM (
    SELECT DISTINCT set_id, key FROM known WHERE position IS NULL AND n > 0 AND key IS NOT NULL
  ) AS came JOIN folded ON folded.id = came.set_id
  RETURNING set_id, key, position
), placed AS MATERIALIZED (
  SELECT known.set_id, n, coalesce(known.position, fresh.position) AS position{listed}
  FROM known LEFT JOIN fresh USING (set_id, key)
)
{" UNION ALL ".join(scans)}
"""


def relinked(counted: rows.Counted, name: str, facet: LinkFacet) -> str:
    """What the rows whose own or whose links' changes are in the logs are linked to now.

    Returns (set_id, touched, bucket, bits): all those rows (`touched`), and by value the linked.
    """
    own, link = logs.relation(counted.name), logs.relation(counted.name, name)
    key_type = counted.types[counted.entity.key]
    value = f"link.{sql.identifier(facet.column)}"
    parent = sql.identifier(facet.parent)
    return f"""
WITH folded AS MATERIALIZED ({FOLDED}
), touched AS MATERIALIZED (
  SELECT folded.id AS set_id, folded.tenant, known.key, known.position
  FROM (
    SELECT {_key(counted)} AS key FROM {own.quoted} AS r
    UNION SELECT r.{parent}::text COLLATE "C" FROM {link.quoted} AS r
  ) AS changed
  CROSS JOIN folded
  JOIN {BITMAP_POSITION.quoted} AS known
    ON known.set_id = folded.id AND known.key = changed.key
), pairs AS (
  SELECT DISTINCT touched.set_id, touched.position, {value}::text AS value
  FROM touched
  JOIN {counted.table.quoted} AS r
    ON r.{sql.identifier(counted.entity.key)} = touched.key::{key_type}
   AND {rows.tenant(counted)} = touched.tenant
  JOIN {sql.Relation.parse(facet.table).quoted} AS link
    ON link.{parent} = r.{sql.identifier(counted.entity.key)}
  WHERE {rows.wanted(counted)} AND {value} IS NOT NULL
)
SELECT set_id, true AS touched, NULL AS bucket, {_JOINED} AS bits FROM touched GROUP BY set_id
UNION ALL
SELECT set_id, false, {splits.clipped("value")}, {_JOINED} FROM pairs GROUP BY set_id, value
"""


def _key(counted: rows.Counted) -> str:
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


def _changed(chunk: Sequence[splits.Split], *, total: bool, first: int) -> str:
    keys = [f"f{first + number}" for number in range(len(chunk))]
    figures = {
        "came": f"{_JOINED} FILTER (WHERE n > 0)",
        "went": f"{_JOINED} FILTER (WHERE n < 0)",
    }
    return _grouped(chunk, keys, "placed", figures, total=total, by=("set_id",))


def _grouped(
    chunk: Sequence[splits.Split],
    keys: Sequence[str],
    source: str,
    figures: Mapping[str, str],
    *,
    total: bool,
    by: tuple[str, ...] = (),
) -> str:
    """(by, facet, bucket, figures) of the rows in `source`, each facet one grouping set."""
    sets = [", ".join(by)] * total + [", ".join((*by, key)) for key in keys]
    everything = (1 << len(keys)) - 1
    # GROUPING()'s bits: the first key's is the highest, and 0 where a row is grouped by the key.
    masks = [str(everything ^ (1 << (len(keys) - 1 - at))) for at in range(len(keys))]
    grouping = f"GROUPING({', '.join(keys)})" if keys else "0"
    names = {mask: sql.literal(split.name) for mask, split in zip(masks, chunk, strict=True)}
    texts = {m: s.text(key) for m, s, key in zip(masks, chunk, keys, strict=True)}
    before = "".join(f"{each}, " for each in by)
    inner = "".join(f"{each}, " for each in (*by, *keys))
    return f"""
SELECT {before}{sql.choose("g", names, "''")} AS facet, {sql.choose("g", texts, "NULL")} AS bucket,
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
    ON known.set_id = %(set)s AND known.key = {_key(counted)}
  JOIN {sql.Relation.parse(facet.table).quoted} AS link
    ON link.{sql.identifier(facet.parent)} = r.{sql.identifier(counted.entity.key)}
  WHERE {rows.condition(counted)} AND {value} IS NOT NULL
) AS pairs
GROUP BY value
"""


__all__ = ["FOLDED", "changes", "come", "gone", "recount", "relinked", "single"]
