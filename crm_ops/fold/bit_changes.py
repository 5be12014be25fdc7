"""The SQL that gathers what a batch of changes does to bitmaps, of all sets of an entity at once.

One statement that only reads: it finds positions for new rows, those of rows that went, and for
each bucket which rows went and came. A bit is no number: of many images of one row only the first
and the last are left, the others cancel out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_POSITION, BITMAP_SET, REFRESH
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes import logs
from crm_ops.changes.logs import SIGN
from crm_ops.fold import bits, links, rows, splits

_FOLDED = f"""
  SELECT made.id AS set_id, made.tenant, made.positions
  FROM {BITMAP_SET.quoted} AS made
  JOIN {REFRESH.quoted} AS refresh
    ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
  WHERE made.entity = %(entity)s AND made.definition = %(definition)s AND refresh.captured
    AND refresh.definition = made.definition AND made.unusable IS NULL
"""
# So many positions or keys are in one row, or those of one bucket: some megabytes, of which a few
# are held at a time. PostgreSQL holds no value of a gigabyte.
_AT_ONCE = 250_000


def gather(counted: rows.Counted) -> str:
    """Binds `entity` and `definition`; returns rows of (what, sets, names, more, went, came).

    All but `what` are arrays as PostgreSQL writes them, to be given back to it:

    - `changed`: of buckets the facet, the bucket, and the positions that went and that came;
    - `given`: of rows that are new the key and the position;
    - `taken`: of rows that are gone the key;
    - `doubted`: sets with a row whose images do not fit to what was known of it: it was there and
      came, or went and was not, or its key is not its own. They have to be made anew.
    """
    facets = bits.single(counted)
    linked = list(links.of_entity(counted))
    changes = [_all_rows(), *(_facet(at, split) for at, split in enumerate(facets))]
    changes += [_linked(at, name) for at, (name, _) in enumerate(linked)]
    return f"""
WITH folded AS MATERIALIZED ({_FOLDED}
), image AS MATERIALIZED (
{_images(counted, facets)}
), changed AS MATERIALIZED (
{_paired(len(facets))}
){"".join(_pairs(counted, linked))}, known AS MATERIALIZED (
  SELECT asked.set_id, found.key, found.position
  FROM (
    SELECT set_id, array_agg(key) AS keys FROM ({_asked(len(linked))}) AS asked GROUP BY set_id
  ) AS asked
  CROSS JOIN LATERAL (
    -- All keys of a set in one pass over the index.
    SELECT key, position FROM {BITMAP_POSITION.quoted} AS known
    WHERE known.set_id = asked.set_id AND known.key = ANY(asked.keys) OFFSET 0
  ) AS found
), fresh AS MATERIALIZED (
  SELECT set_id, key,
         folded.positions + row_number() OVER (PARTITION BY set_id ORDER BY key) - 1 AS position
  FROM (
    SELECT DISTINCT set_id, key FROM changed LEFT JOIN known USING (set_id, key)
    WHERE known.position IS NULL AND came IS NOT NULL AND key IS NOT NULL
  ) AS came JOIN folded USING (set_id)
), placed AS MATERIALIZED (
  SELECT changed.*, coalesce(known.position, fresh.position)::int AS position,
         key IS NOT NULL AND coalesce(went, -1) = -1 AND coalesce(came, 1) = 1
         AND (went IS NULL) = (known.position IS NULL) AS sound
  FROM changed LEFT JOIN known USING (set_id, key) LEFT JOIN fresh USING (set_id, key)
), change AS MATERIALIZED (
{" UNION ALL ".join(changes)}
)
{_parts()}"""


def _parts() -> str:
    """What was gathered, as rows that are not too large."""
    return f"""\
SELECT 'changed' AS what, array_agg(set_id)::text AS sets, array_agg(facet)::text AS names,
       array_agg(bucket)::text AS more, array_agg(went::text)::text AS went,
       array_agg(came::text)::text AS came
FROM (
  SELECT *, sum(cardinality(went) + cardinality(came)) OVER (ROWS UNBOUNDED PRECEDING)
            / {_AT_ONCE} AS part
  FROM change
) AS parts GROUP BY part
UNION ALL
SELECT 'given', array_agg(set_id)::text, array_agg(key)::text, array_agg(position)::text, '', ''
FROM (SELECT *, row_number() OVER () / {_AT_ONCE} AS part FROM fresh) AS parts GROUP BY part
UNION ALL
SELECT 'taken', array_agg(set_id)::text, array_agg(key)::text, '', '', ''
FROM (
  SELECT set_id, key, row_number() OVER () / {_AT_ONCE} AS part FROM placed WHERE came IS NULL
) AS parts GROUP BY part
UNION ALL
SELECT 'doubted', array_agg(set_id)::text, '', '', '', ''
FROM (
  SELECT set_id FROM placed GROUP BY set_id
  HAVING NOT bool_and(sound) OR count(*) <> count(DISTINCT position)
  UNION SELECT set_id FROM change
  WHERE array_position(came, NULL) IS NOT NULL OR array_position(went, NULL) IS NOT NULL
) AS doubted HAVING count(*) > 0
"""


def _images(counted: rows.Counted, facets: Sequence[splits.Split]) -> str:
    """The images of rows that do not cancel out, by their keys and the facets' (f0, f1...)."""
    texts = "".join(f", {split.key} AS f{at}" for at, split in enumerate(facets))
    listed = "".join(f", f{at}" for at in range(len(facets)))
    return f"""
  SELECT set_id, key{listed}, sum(sign)::int AS n
  FROM (
    SELECT {rows.tenant(counted)} AS tenant, {bits.row_key(counted)} AS key,
           r.{sql.identifier(SIGN)} AS sign{texts}
    FROM {logs.relation(counted.name).quoted} AS r
  ) AS logged JOIN folded USING (tenant)
  GROUP BY set_id, key{listed} HAVING sum(sign) <> 0"""


def _paired(facets: int) -> str:
    """Each row as it was (w0, w1...) and is (c0, c1...)."""
    listed = "".join(f", was.f{at} AS w{at}, now.f{at} AS c{at}" for at in range(facets))
    return f"""
  SELECT set_id, key, was.n AS went, now.n AS came{listed}
  FROM (SELECT * FROM image WHERE n < 0) AS was
  FULL JOIN (SELECT * FROM image WHERE n > 0) AS now USING (set_id, key)"""


def _pairs(counted: rows.Counted, linked: Sequence[tuple[str, LinkFacet]]) -> Iterator[str]:
    """Of each link facet the rows that are linked to a value otherwise than they were."""
    own = logs.relation(counted.name).quoted
    for at, (name, facet) in enumerate(linked):
        log = logs.relation(counted.name, name).quoted
        yield f""", link_{at} AS MATERIALIZED (
  SELECT set_id, key::text COLLATE "C" AS key, value, there
  FROM ({links.pairs(counted, facet, own, log)}) AS pairs JOIN folded USING (tenant)
  WHERE there <> was
)"""


def _asked(linked: int) -> str:
    """The keys whose positions are to be known."""
    names = ["changed", *(f"link_{at}" for at in range(linked))]
    return " UNION ALL ".join(f"SELECT set_id, key FROM {name}" for name in names)


_SIDES = (
    "coalesce(array_agg(position) FILTER (WHERE NOT there), '{}') AS went,"
    " coalesce(array_agg(position) FILTER (WHERE there), '{}') AS came"
)


def _all_rows() -> str:
    return f"""
  SELECT set_id, '' AS facet, NULL AS bucket, {_SIDES}
  FROM (
    SELECT set_id, position, came IS NOT NULL AS there FROM placed
    WHERE (went IS NULL) <> (came IS NULL)
  ) AS moved GROUP BY set_id"""


def _facet(at: int, split: splits.Split) -> str:
    return f"""
  SELECT set_id, {sql.literal(split.name)}, {split.text("bucket")}, {_SIDES}
  FROM placed CROSS JOIN LATERAL (
    VALUES (w{at}, false, went), (c{at}, true, came)
  ) AS side (bucket, there, n)
  WHERE (w{at} IS DISTINCT FROM c{at} OR went IS NULL OR came IS NULL) AND n IS NOT NULL
  GROUP BY set_id, bucket"""


def _linked(at: int, name: str) -> str:
    return f"""
  SELECT set_id, {sql.literal(name)}, {splits.clipped("value")}, {_SIDES}
  FROM (
    SELECT set_id, value, there, coalesce(known.position, fresh.position) AS position
    FROM link_{at} LEFT JOIN known USING (set_id, key) LEFT JOIN fresh USING (set_id, key)
  ) AS moved GROUP BY set_id, value"""


__all__ = ["gather"]
