-- name: folded
-- Whether changes of an entity are folded into bitmaps at all; only reads.
SELECT EXISTS (
    SELECT FROM crm_ops.bitmap_set
    WHERE entity = %(entity)s AND definition = %(definition)s AND unusable IS NULL);

-- name: given
-- Gives rows their positions, which were found in the same snapshot.
WITH given AS (
    SELECT * FROM unnest(%(sets)s::bigint[], %(names)s::text[], %(more)s::integer[])
      AS given (set_id, key, position)
), noted AS (
    UPDATE crm_ops.bitmap_set AS made SET positions = made.positions + come.n
    FROM (SELECT set_id, count(*) AS n FROM given GROUP BY set_id) AS come
    WHERE made.id = come.set_id
)
INSERT INTO crm_ops.bitmap_position (set_id, key, position)
SELECT set_id, key, position FROM given;

-- name: taken
-- Forgets the positions of rows that are gone.
DELETE FROM crm_ops.bitmap_position AS known
USING unnest(%(sets)s::bigint[], %(names)s::text[]) AS gone (set_id, key)
WHERE known.set_id = gone.set_id AND known.key = gone.key;

-- name: changed
-- Appends to facets which rows went out of buckets and came into them; a bucket weighs as much as four
-- rows. Returns the sets.
WITH change AS MATERIALIZED (
    SELECT set_id, facet, buckets::text[], went_n::integer[], came_n::integer[], went::integer[],
           came::integer[]
    FROM unnest(%(sets)s::bigint[], %(names)s::text[], %(more)s::text[], %(went_n)s::text[],
                %(came_n)s::text[], %(went)s::text[], %(came)s::text[])
      AS change (set_id, facet, buckets, went_n, came_n, went, came)
), moved AS (
    UPDATE crm_ops.bitmap_set AS made
    SET version = greatest((extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint,
                           made.version + 1),
        as_of = %(as_of)s, pending = made.pending + found.weight
    FROM (
        SELECT set_id,
               sum(4 * cardinality(buckets) + cardinality(came) + cardinality(went)) AS weight
        FROM change GROUP BY set_id
    ) AS found
    WHERE made.id = found.set_id RETURNING made.id, made.version
), appended AS (
    INSERT INTO crm_ops.bitmap_change
        (set_id, version, facet, buckets, went_n, came_n, went, came)
    SELECT set_id, version, facet, buckets, went_n, came_n, went, came
    FROM change JOIN moved ON moved.id = set_id
)
SELECT id FROM moved;

-- name: wanted
-- The large tenants whose bitmaps are to be made: they have none, or were made with another catalog,
-- or hold few rows among many positions (`sparse`). Only reads.
SELECT refresh.tenant, coalesce(made.positions > 4 * refresh.counted + 65536, false) AS sparse
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.bitmap_set AS made USING (entity, tenant)
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s AND refresh.captured
  AND refresh.definition = %(definition)s AND refresh.counted >= %(from_rows)s
  AND (made.id IS NULL OR made.definition <> %(definition)s
       OR made.positions > 4 * refresh.counted + 65536)
ORDER BY refresh.tenant;

-- name: large
-- Those of some tenants that are large enough for bitmaps, and whether theirs are sparse. Only reads.
SELECT refresh.tenant, coalesce(made.positions > 4 * refresh.counted + 65536, false) AS sparse
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.bitmap_set AS made USING (entity, tenant)
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s AND refresh.captured
  AND refresh.tenant = ANY(%(tenants)s::text[]) AND refresh.counted >= %(from_rows)s
ORDER BY refresh.tenant;

-- name: needless
-- The tenants with bitmaps that are small now, or gone, or too small for those of another catalog to be
-- made anew: these would be taken for true were that catalog declared again. Only reads.
SELECT made.tenant FROM crm_ops.bitmap_set AS made
LEFT JOIN crm_ops.refresh AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
WHERE made.entity = %(entity)s
  AND coalesce(refresh.counted, 0)
      < CASE made.definition WHEN %(definition)s THEN %(from_rows)s / 2 ELSE %(from_rows)s END;

-- name: counts
-- How many rows of a tenant each bucket has; only reads.
SELECT facet, bucket, n FROM crm_ops.facet_count
WHERE entity = %(entity)s AND tenant = %(tenant)s AND facet = ANY(%(facets)s::text[]) AND n <> 0;

-- name: begin
-- Begins the sets of some tenants, or new versions of those that are there; their bitmaps are written
-- after it, and are as of then.
INSERT INTO crm_ops.bitmap_set AS stored
    (entity, tenant, version, as_of, definition, positions, compacted, since)
SELECT %(entity)s, tenant, moment.version, %(as_of)s, %(definition)s, 0, moment.version,
       moment.version
FROM unnest(%(tenants)s::text[]) AS tenant,
     (SELECT (extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint AS version) AS moment
ON CONFLICT (entity, tenant) DO UPDATE
SET version = greatest(excluded.version, stored.version + 1), as_of = excluded.as_of,
    compacted = greatest(excluded.version, stored.version + 1),
    since = greatest(excluded.version, stored.version + 1), pending = 0,
    definition = excluded.definition, unusable = NULL
RETURNING id, tenant;

-- name: clear
-- Forgets which rows the buckets of sets hold, but not the rows' positions.
WITH changes AS (
    DELETE FROM crm_ops.bitmap_change WHERE set_id = ANY(%(sets)s::bigint[])
)
DELETE FROM crm_ops.bitmap WHERE set_id = ANY(%(sets)s::bigint[]);

-- name: fill
-- Writes bitmaps of a facet of sets that were cleared.
INSERT INTO crm_ops.bitmap (set_id, facet, bucket, bits)
SELECT set_id, %(facet)s, bucket, bits
FROM unnest(%(sets)s::bigint[], %(buckets)s::text[], %(bits)s::bytea[])
  AS given (set_id, bucket, bits);

-- name: write
-- Writes bitmaps whole, and deletes those that are NULL; safe to repeat. They are bound as bytes
-- (`b`): as text they would take twice as long.
WITH given AS (
    SELECT facet, bucket, bits
    FROM unnest(%(facets)s::text[], %(buckets)s::text[], %(bits)b::bytea[])
      AS given (facet, bucket, bits)
), emptied AS (
    DELETE FROM crm_ops.bitmap AS stored USING given
    WHERE stored.set_id = %(set)s AND given.bits IS NULL
      AND (stored.facet, coalesce(stored.bucket, ''), stored.bucket IS NULL)
        = (given.facet, coalesce(given.bucket, ''), given.bucket IS NULL)
)
INSERT INTO crm_ops.bitmap AS stored (set_id, facet, bucket, bits)
SELECT %(set)s, facet, bucket, bits FROM given WHERE bits IS NOT NULL
ON CONFLICT (set_id, facet, bucket) DO UPDATE SET bits = excluded.bits;

-- name: due
-- The sets whose changes weigh as much as their rows, which are to be compacted, most first: one,
-- and as many more as have no more than some rows together. Not those of another catalog, which are
-- made anew. Only reads.
SELECT id, tenant FROM (
    SELECT made.id, made.tenant, made.pending, refresh.counted,
           sum(refresh.counted) OVER (ORDER BY made.pending DESC, made.id) AS together
    FROM crm_ops.bitmap_set AS made
    JOIN crm_ops.refresh AS refresh
      ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
    WHERE made.entity = %(entity)s AND made.unusable IS NULL
      AND made.definition = %(definition)s AND made.pending > greatest(4096, refresh.counted)
) AS due
WHERE together - counted = 0 OR together <= %(rows)s
ORDER BY pending DESC, id;

-- name: behind
-- What happened to a set since its bitmaps were written, in its order; only reads.
SELECT facet, json_build_array(facet, buckets, went_n, came_n, went, came)::text AS change
FROM crm_ops.bitmap_change AS change
JOIN crm_ops.bitmap_set AS made ON made.id = change.set_id
WHERE made.id = %(set)s AND change.version > made.compacted
ORDER BY change.version;

-- name: stored
-- Some bitmaps of a set as they were written; only reads.
SELECT facet, bucket, bits
FROM crm_ops.bitmap AS stored
JOIN unnest(%(facets)s::text[], %(buckets)s::text[]) AS wanted (of, at)
  ON stored.facet = of AND coalesce(stored.bucket, '') = coalesce(at, '')
 AND (stored.bucket IS NULL) = (at IS NULL)
WHERE stored.set_id = %(set)s;

-- name: compacted
-- Notes that a set's changes are in its bitmaps, and forgets those that were before.
WITH made AS (
    UPDATE crm_ops.bitmap_set
    SET since = compacted, compacted = version, pending = 0
    WHERE id = %(set)s RETURNING id, since
)
DELETE FROM crm_ops.bitmap_change USING made
WHERE bitmap_change.set_id = made.id AND bitmap_change.version <= made.since;

-- name: sets
-- The sets of some tenants that are searched with; only reads.
SELECT made.id, made.tenant, refresh.counted
FROM crm_ops.bitmap_set AS made
JOIN crm_ops.refresh AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
 AND refresh.captured AND refresh.definition = made.definition
WHERE made.entity = %(entity)s AND made.tenant = ANY(%(tenants)s::text[])
  AND made.unusable IS NULL
ORDER BY made.tenant;

-- name: whole
-- The bitmaps of a set as they were written; only reads.
SELECT facet, bucket, bits FROM crm_ops.bitmap WHERE set_id = %(set)s;

-- name: drop
-- Forgets the bitmaps of some tenants.
WITH gone AS (
    DELETE FROM crm_ops.bitmap_set
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING id
), positions AS (
    DELETE FROM crm_ops.bitmap_position USING gone WHERE set_id = gone.id
), changes AS (
    DELETE FROM crm_ops.bitmap_change USING gone WHERE set_id = gone.id
)
DELETE FROM crm_ops.bitmap USING gone WHERE set_id = gone.id;

-- name: give_up
-- Says why a set has no bitmaps, and forgets its rows.
WITH told AS (
    UPDATE crm_ops.bitmap_set SET unusable = %(reason)s WHERE id = %(set)s
), bitmaps AS (
    DELETE FROM crm_ops.bitmap WHERE set_id = %(set)s
)
DELETE FROM crm_ops.bitmap_position WHERE set_id = %(set)s;
