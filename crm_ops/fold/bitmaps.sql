-- name: folded
-- Whether changes of an entity are folded into bitmaps at all; only reads.
SELECT EXISTS (
    SELECT FROM crm_ops.bitmap_set
    WHERE entity = %(entity)s AND definition = %(definition)s AND unusable IS NULL);

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
-- The tenants with bitmaps that are small now, or gone. Only reads.
SELECT made.tenant FROM crm_ops.bitmap_set AS made
LEFT JOIN crm_ops.refresh AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
WHERE made.entity = %(entity)s AND coalesce(refresh.counted, 0) < %(from_rows)s / 2;

-- name: unsound
-- The tenants of which a bucket has not as many rows as its count says; only reads.
SELECT made.tenant
FROM crm_ops.bitmap_set AS made
JOIN crm_ops.refresh AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
 AND refresh.captured
WHERE made.id = ANY(%(sets)s::bigint[]) AND EXISTS (
    SELECT FROM (
        SELECT facet, bucket, n FROM crm_ops.facet_count AS stored
        WHERE stored.entity = made.entity AND stored.tenant = made.tenant AND stored.n <> 0
          AND stored.facet = ANY(%(facets)s::text[])
        UNION ALL
        SELECT facet, bucket, -n FROM crm_ops.bitmap
        WHERE set_id = made.id AND n <> 0
    ) AS both_sides
    GROUP BY facet, bucket HAVING sum(n) <> 0);

-- name: begin
-- Begins a set, or a new version of one that is there; its bitmaps are written after it.
INSERT INTO crm_ops.bitmap_set AS stored (entity, tenant, version, as_of, definition, positions)
VALUES (%(entity)s, %(tenant)s, (extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint,
        %(as_of)s, %(definition)s, 0)
ON CONFLICT (entity, tenant) DO UPDATE
SET version = greatest(excluded.version, stored.version + 1), as_of = excluded.as_of,
    definition = excluded.definition, unusable = NULL
RETURNING id, version, positions, secret;

-- name: moved
-- Gives a set a new version, and notes positions that were given; its bitmaps are written after it.
UPDATE crm_ops.bitmap_set
SET version = greatest((extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint, version + 1),
    as_of = %(as_of)s, positions = greatest(positions, %(positions)s)
WHERE id = %(set)s RETURNING id, version, secret;

-- name: finish
-- Notes what the bitmaps of a set are together, after they were written.
UPDATE crm_ops.bitmap_set
SET positions = greatest(positions, %(positions)s),
    digest = (SELECT coalesce(sum(digest), 0) FROM crm_ops.bitmap WHERE set_id = %(set)s)
WHERE id = %(set)s;

-- name: read
-- Some bitmaps of a set; only reads.
SELECT stored.facet, stored.bucket, stored.bits
FROM crm_ops.bitmap AS stored
JOIN unnest(%(facets)s::text[], %(buckets)s::text[]) AS asked (facet, bucket)
  ON (stored.facet, coalesce(stored.bucket, ''), stored.bucket IS NULL)
   = (asked.facet, coalesce(asked.bucket, ''), asked.bucket IS NULL)
WHERE stored.set_id = %(set)s;

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
-- All bitmaps of a set that hold rows; only reads.
SELECT facet, bucket, bits FROM crm_ops.bitmap WHERE set_id = %(set)s AND n <> 0;

-- name: buckets
-- The buckets of a set that hold rows; only reads.
SELECT facet, bucket FROM crm_ops.bitmap WHERE set_id = %(set)s AND n <> 0;

-- name: write
-- Writes bitmaps whole; safe to repeat.
INSERT INTO crm_ops.bitmap AS stored (set_id, facet, bucket, version, n, digest, bits)
SELECT %(set)s, facet, bucket, %(version)s, n, digest, bits
FROM unnest(%(facets)s::text[], %(buckets)s::text[], %(ns)s::bigint[], %(digests)s::bigint[],
            %(bits)s::bytea[])
  AS given (facet, bucket, n, digest, bits)
ON CONFLICT (set_id, facet, bucket) DO UPDATE
SET version = excluded.version, n = excluded.n, digest = excluded.digest, bits = excluded.bits
WHERE stored.bits <> excluded.bits;

-- name: free
-- Forgets the positions of rows that are gone; they are not given again.
DELETE FROM crm_ops.bitmap_position
WHERE set_id = %(set)s AND position = ANY(%(positions)s::integer[]);

-- name: drop
-- Forgets the bitmaps of some tenants.
WITH gone AS (
    DELETE FROM crm_ops.bitmap_set
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING id
), positions AS (
    DELETE FROM crm_ops.bitmap_position USING gone WHERE set_id = gone.id
)
DELETE FROM crm_ops.bitmap USING gone WHERE set_id = gone.id;

-- name: give_up
-- Says why a set has no bitmaps, and forgets those it has.
WITH told AS (
    UPDATE crm_ops.bitmap_set SET unusable = %(reason)s WHERE id = %(set)s
), positions AS (
    DELETE FROM crm_ops.bitmap_position WHERE set_id = %(set)s
)
DELETE FROM crm_ops.bitmap WHERE set_id = %(set)s;
