-- name: sweep_facets
-- Deletes the counts of buckets that are empty now.
DELETE FROM crm_ops.facet_count
WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) AND n = 0;

-- name: sweep_aggregates
-- Deletes the figures of groups that have no row any more; the pairs are (aggregate, tenant).
DELETE FROM crm_ops.aggregate AS stored
USING unnest(%(aggregates)s::text[], %(tenants)s::text[]) AS emptied (aggregate, tenant)
WHERE stored.aggregate = emptied.aggregate AND stored.tenant = emptied.tenant AND stored.n = 0
  AND NOT EXISTS (
    SELECT FROM crm_ops.aggregate AS its
    WHERE its.aggregate = stored.aggregate AND its.tenant = stored.tenant
      AND its.dimensions = stored.dimensions AND its.measured = '' AND its.n <> 0);

-- name: impossible_facets
-- Tenants whose counts cannot be right, and which: a negative one, or a facet whose buckets do not
-- add up to the rows; `told` is NULL for those that only have more buckets than allowed. Only reads.
WITH split AS (
    SELECT tenant, facet, sum(n) AS n, min(n) AS least, count(*) AS buckets
    FROM crm_ops.facet_count
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[])
    GROUP BY tenant, facet
)
SELECT tenant,
       string_agg(format('%%s has %%s of %%s rows, the least bucket %%s', facet, n, counted, least), '; ')
         FILTER (WHERE least < 0 OR facet = ANY(%(single)s::text[]) AND n <> counted) AS told
FROM split JOIN crm_ops.refresh AS refresh USING (tenant)
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s
GROUP BY tenant
HAVING bool_or(least < 0 OR buckets > %(limit)s
               OR facet = ANY(%(single)s::text[]) AND n <> counted);

-- name: impossible_aggregates
-- Tenants whose figures cannot be right, and which, as for facet counts, of the pairs (aggregate,
-- tenant) that changed: each is looked up, they are few of many. Only reads.
SELECT tenant,
       string_agg(format('%%s has %%s of %%s rows, the least group %%s', aggregate, n, counted, least), '; ')
         FILTER (WHERE least < 0 OR n <> counted) AS told
FROM unnest(%(aggregates)s::text[], %(tenants)s::text[]) AS changed (aggregate, tenant)
JOIN crm_ops.refresh AS refresh USING (tenant)
CROSS JOIN LATERAL (
    SELECT min(its.n) AS least, coalesce(sum(its.n) FILTER (WHERE measured = ''), 0) AS n,
           count(*) FILTER (WHERE measured = '') AS buckets
    FROM crm_ops.aggregate AS its
    WHERE its.aggregate = changed.aggregate AND its.tenant = changed.tenant
) AS split
WHERE refresh.kind = 'aggregates' AND refresh.entity = %(entity)s
GROUP BY tenant
HAVING bool_or(least < 0 OR buckets > %(limit)s OR n <> counted);

-- name: distrust
-- Says of tenants' figures that they are neither folded nor published until they are counted anew.
UPDATE crm_ops.refresh SET captured = false, definition = NULL
WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]);

-- name: outdated
-- Tenants whose figures were made with another catalog, and what with. Only reads.
SELECT refresh.tenant, refresh.definition, definition.parts
FROM crm_ops.refresh AS refresh
JOIN crm_ops.definition AS definition ON definition.id = refresh.definition
WHERE refresh.kind = %(kind)s AND refresh.entity = %(entity)s AND refresh.captured
  AND refresh.definition <> %(definition)s
ORDER BY refresh.definition, refresh.tenant;

-- name: set_moment
-- Notes as of when all captured figures of an entity are exact.
INSERT INTO crm_ops.moment AS stored (entity, as_of) VALUES (%(entity)s, %(as_of)s)
ON CONFLICT (entity) DO UPDATE SET as_of = greatest(stored.as_of, excluded.as_of);

-- name: remove_tenants
-- Forgets the figures of tenants that are no longer active.
WITH refreshed AS (
    DELETE FROM crm_ops.refresh
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING 1
), published AS (
    DELETE FROM crm_ops.published
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING 1
), counts AS (
    DELETE FROM crm_ops.facet_count
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING 1
), figures AS (
    DELETE FROM crm_ops.aggregate
    WHERE aggregate = ANY(%(aggregates)s::text[]) AND tenant = ANY(%(tenants)s::text[]) RETURNING 1
), sets AS (
    DELETE FROM crm_ops.bitmap_set
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) RETURNING id
), positions AS (
    DELETE FROM crm_ops.bitmap_position USING sets WHERE set_id = sets.id
), bitmaps AS (
    DELETE FROM crm_ops.bitmap USING sets WHERE set_id = sets.id
), bitmap_changes AS (
    DELETE FROM crm_ops.bitmap_change USING sets WHERE set_id = sets.id
)
SELECT (SELECT count(*) FROM counts) + (SELECT count(*) FROM figures) AS removed;

-- name: captured
-- The tenants whose figures, of the kinds that are declared, can all be folded. Only reads.
SELECT tenant FROM crm_ops.refresh
WHERE entity = %(entity)s AND kind = ANY(%(kinds)s::text[]) AND captured
GROUP BY tenant HAVING count(*) = cardinality(%(kinds)s::text[]);

-- name: proved
-- Notes that tenants' figures were found equal to a count of the rows.
UPDATE crm_ops.refresh SET proved_at = %(as_of)s
WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]);

-- name: oldest_proofs
-- Tenants by the age of their proof, those never proved first. Only reads.
SELECT tenant FROM crm_ops.refresh
WHERE entity = %(entity)s AND captured AND tenant = ANY(%(tenants)s::text[])
GROUP BY tenant
ORDER BY min(coalesce(proved_at, '-infinity')), tenant
LIMIT %(count)s;

-- name: declared_before
-- The aggregates that tenants' figures were made with, also those no longer declared. Only reads.
SELECT DISTINCT jsonb_object_keys(definition.parts)
FROM crm_ops.refresh AS refresh
JOIN crm_ops.definition AS definition ON definition.id = refresh.definition
WHERE refresh.kind = 'aggregates' AND refresh.entity = %(entity)s
  AND refresh.tenant = ANY(%(tenants)s::text[]);
