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
# So many positions or keys are in one row, or those of one facet: some megabytes, of which a few
# are held at a time. PostgreSQL holds no value of a gigabyte.
_AT_ONCE = 250_000
# Of a facet how many rows went out of and came into each of its buckets, and which.
_POSITIONS = ("went_n", "came_n", "went", "came")

DIGEST = "({n})::bigint * hash_record(ROW({facet}, bucket))"
"""Of a number by which a bucket changes; the sums of two are equal where all the numbers are."""


def gather(counted: rows.Counted) -> str:
    """Binds `entity` and `definition`; returns rows of (what, sets, names, more, `_POSITIONS`...).

    All but `what` are arrays as PostgreSQL writes them, to be given back to it:

    - `changed`: of facets the buckets, how many rows went out of each and came into it, and their
      positions, one bucket's after the other's;
    - `given`: of rows that are new the key and the position;
    - `taken`: of rows that are gone the key.

    One row, `digests`, has in `names` a JSON list of [tenant, digest] of all sets: `DIGEST` of what
    came into their buckets less what went, which is to be that of their counts. It is null where
    images of some row do not fit to what was known of it: it was there and came, or went and was
    not, or its key is not its own. Such a set has to be made anew.
    """
    facets = bits.single(counted)
    linked = list(links.of_entity(counted))
    changes = [_all_rows(), *(_facet(at, split) for at, split in enumerate(facets))]
    changes += [_linked(at, name) for at, (name, _) in enumerate(linked)]
    return f"""
WITH folded AS MATERIALIZED ({_FOLDED}
), repeated AS MATERIALIZED (
{_repeated(counted)}
), image AS MATERIALIZED (
{_images(counted, facets)}
), changed AS MATERIALIZED (
{_paired(counted, facets)}
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


_DOUBTED = """
    SELECT set_id FROM placed WHERE NOT sound
    UNION ALL
    SELECT set_id FROM placed WHERE key IN (SELECT key FROM repeated)
    GROUP BY set_id, key HAVING count(*) > 1
    UNION ALL
    SELECT set_id FROM change WHERE unplaced
  """


def _parts() -> str:
    """What was gathered, as rows that are not too large."""
    positions = ", ".join(f"array_agg({name}::text)::text AS {name}" for name in _POSITIONS)
    nothing = ", ''" * len(_POSITIONS)
    return f"""\
SELECT 'changed' AS what, array_agg(set_id)::text AS sets, array_agg(facet)::text AS names,
       array_agg(buckets::text)::text AS more, {positions}
FROM (
  SELECT *, sum(positions) OVER (ROWS UNBOUNDED PRECEDING)::bigint / {_AT_ONCE} AS part FROM change
) AS parts GROUP BY part
UNION ALL
SELECT 'given', array_agg(set_id)::text, array_agg(key)::text, array_agg(position)::text{nothing}
FROM (SELECT *, row_number() OVER () / {_AT_ONCE} AS part FROM fresh) AS parts GROUP BY part
UNION ALL
SELECT 'taken', array_agg(set_id)::text, array_agg(key)::text, ''{nothing}
FROM (
  SELECT set_id, key, row_number() OVER () / {_AT_ONCE} AS part FROM placed WHERE came IS NULL
) AS parts GROUP BY part
UNION ALL
SELECT 'digests', '', json_agg(json_build_array(tenant, digest::text))::text, ''{nothing}
FROM (
  SELECT tenant, CASE WHEN set_id NOT IN ({_DOUBTED}) THEN coalesce(sum(digest), 0) END AS digest
  FROM folded LEFT JOIN change USING (set_id) GROUP BY set_id, tenant
) AS summed HAVING count(*) > 0
"""


def _repeated(counted: rows.Counted) -> str:
    """The keys with more than one image of a kind; most rows change once between two folds."""
    return f"""
  SELECT key FROM (
    SELECT {bits.row_key(counted)} AS key, r.{sql.identifier(SIGN)} AS sign
    FROM {logs.relation(counted.name).quoted} AS r
  ) AS logged GROUP BY key, sign HAVING count(*) > 1"""


def _logged(counted: rows.Counted, facets: Sequence[splits.Split]) -> str:
    """The images of the sets' rows: their keys, and what the facets' are made from (f0, f1...)."""
    values = "".join(f", {split.value} AS f{at}" for at, split in enumerate(facets))
    return f"""
    SELECT set_id, logged.*
    FROM (
      SELECT {rows.tenant(counted)} AS tenant, {bits.row_key(counted)} AS key,
             r.{sql.identifier(SIGN)}::int AS n{values}
      FROM {logs.relation(counted.name).quoted} AS r
    ) AS logged JOIN folded USING (tenant)"""


def _images(counted: rows.Counted, facets: Sequence[splits.Split]) -> str:
    """The images of repeated keys that do not cancel out."""
    listed = "".join(f", f{at}" for at in range(len(facets)))
    return f"""
  SELECT set_id, key{listed}, sum(n)::int AS n
  FROM ({_logged(counted, facets)}
  ) AS logged WHERE key IN (SELECT key FROM repeated)
  GROUP BY set_id, key{listed} HAVING sum(n) <> 0"""


def _paired(counted: rows.Counted, facets: Sequence[splits.Split]) -> str:
    """Each row as it was (w0, w1...) and is (c0, c1...)."""
    numbers = range(len(facets))
    listed = "".join(f", was.f{at} AS w{at}, now.f{at} AS c{at}" for at in numbers)
    values = ["key", *(f"f{at}" for at in numbers)]
    was, now = (", ".join(f"{each}.{one}" for one in values) for each in ("was", "now"))
    logged = _logged(counted, facets)

    def pairs(images: str) -> str:
        return f"""
  SELECT set_id, key, was.n AS went, now.n AS came{listed}
  FROM (SELECT * FROM {images} WHERE n < 0) AS was
  FULL JOIN (SELECT * FROM {images} WHERE n > 0) AS now USING (set_id, key)"""

    # Two images that are the same are of a row that came and went.
    return f"""{pairs(f"({logged}) AS logged")}
  WHERE NOT EXISTS (SELECT FROM repeated WHERE repeated.key = coalesce(was.key, now.key))
    AND (num_nulls(was.n, now.n) > 0 OR ROW({was}) IS DISTINCT FROM ROW({now}))
  UNION ALL{pairs("image")}"""


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
    return _of_facet(
        "",
        f"""
    SELECT set_id, NULL AS bucket, {_SIDES}
    FROM (
      SELECT set_id, position, came IS NOT NULL AS there FROM placed
      WHERE (went IS NULL) <> (came IS NULL)
    ) AS moved GROUP BY set_id""",
    )


def _facet(at: int, split: splits.Split) -> str:
    return _of_facet(
        split.name,
        f"""
    SELECT set_id, {split.text("bucket")} AS bucket, {_SIDES}
    FROM (
      SELECT set_id, position, went, came,
             {split.key_of(f"w{at}")} AS was, {split.key_of(f"c{at}")} AS now
      FROM placed WHERE w{at} IS DISTINCT FROM c{at} OR went IS NULL OR came IS NULL
      -- Once, not again wherever a key is used.
      OFFSET 0
    ) AS moved CROSS JOIN LATERAL (
      VALUES (was, false, went), (now, true, came)
    ) AS side (bucket, there, n)
    WHERE (was IS DISTINCT FROM now OR went IS NULL OR came IS NULL) AND n IS NOT NULL
    GROUP BY set_id, side.bucket""",
    )


def _linked(at: int, name: str) -> str:
    return _of_facet(
        name,
        f"""
    SELECT set_id, {splits.clipped("value")} AS bucket, {_SIDES}
    FROM (
      SELECT set_id, value, there, coalesce(known.position, fresh.position) AS position
      FROM link_{at} LEFT JOIN known USING (set_id, key) LEFT JOIN fresh USING (set_id, key)
    ) AS moved GROUP BY set_id, value""",
    )


def _of_facet(name: str, buckets: str) -> str:
    """What happened to a facet of each set, from what happened to its buckets."""
    digest = DIGEST.format(
        facet=f"{sql.literal(name)}::text", n="cardinality(came) - cardinality(went)"
    )
    return f"""
  SELECT set_id, {sql.literal(name)} AS facet, array_agg(bucket) AS buckets,
         array_agg(cardinality(went)) AS went_n, array_agg(cardinality(came)) AS came_n,
         {_in_one("went")} AS went, {_in_one("came")} AS came,
         sum(cardinality(went) + cardinality(came)) AS positions, sum({digest}) AS digest,
         bool_or(num_nulls(array_position(went, NULL), array_position(came, NULL)) < 2) AS unplaced
  FROM ({buckets}
  ) AS bucket_change GROUP BY set_id"""


def _in_one(arrays: str) -> str:
    """Arrays one after the other as one, as PostgreSQL writes it."""
    listed = f"string_agg(nullif(btrim({arrays}::text, '{{}}'), ''), ',')"
    return f"'{{' || coalesce({listed}, '') || '}}'"


__all__ = ["DIGEST", "gather"]
