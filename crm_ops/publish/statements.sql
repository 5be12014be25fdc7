-- name: facet_counts
-- The stored facet counts of some tenants of an entity, each facet's as JSON of its buckets and, in the
-- same order, of their counts, with their moment; one snapshot, only reads. Gathered once, however
-- few tenants the planner takes there to be.
WITH stored AS MATERIALIZED (
    SELECT tenant, facet, json_agg(bucket)::text AS buckets, json_agg(n)::text AS counts
    FROM crm_ops.facet_count
    WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[]) AND facet <> ''
    GROUP BY tenant, facet
)
SELECT refresh.tenant, refresh.definition, refresh.version, refresh.as_of, refresh.counted,
       stored.facet, stored.buckets, stored.counts
FROM crm_ops.refresh AS refresh
LEFT JOIN stored USING (tenant)
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s AND refresh.definition IS NOT NULL
  AND refresh.tenant = ANY(%(tenants)s::text[])
ORDER BY refresh.tenant;

-- name: aggregate_figures
-- The stored figures of pairs of an aggregate and a tenant of an entity, each pair's as JSON, with their
-- moment and the version at which they last changed; one snapshot, only reads. Decimals are texts,
-- which keep their digits. Each pair is looked up, they are few of many.
SELECT aggregate, tenant, refresh.definition, refresh.as_of,
       coalesce((refresh.changed ->> aggregate)::bigint, refresh.version) AS version,
       coalesce(stored.figures, '[]') AS figures
FROM unnest(%(aggregates)s::text[], %(tenants)s::text[]) AS wanted (aggregate, tenant)
JOIN crm_ops.refresh AS refresh USING (tenant)
CROSS JOIN LATERAL (
    SELECT '[' || string_agg(
        CASE WHEN num_nonnulls(total, low, high) = 0 THEN json_build_array(dimensions, measured, n)
             ELSE json_build_array(dimensions, measured, n, total::text, low::text, high::text) END
        ::text, ',') || ']' AS figures
    FROM crm_ops.aggregate AS its
    WHERE its.aggregate = wanted.aggregate AND its.tenant = wanted.tenant
) AS stored
WHERE refresh.kind = 'aggregates' AND refresh.entity = %(entity)s
  AND refresh.definition IS NOT NULL
ORDER BY tenant, aggregate;

-- name: behind
-- The tenants whose figures Redis was not given in their latest version, or all of them, and which
-- of `parts` (aggregates) changed since; figures made with another catalog are not for serving.
-- Only reads.
SELECT refresh.tenant, refresh.version, ARRAY(
    SELECT part FROM unnest(%(parts)s::text[]) AS part
    WHERE %(everything)s OR published.version IS NULL
       OR coalesce((refresh.changed ->> part)::bigint, refresh.version) > published.version
) AS parts
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.published AS published USING (kind, entity, tenant)
WHERE refresh.kind = %(kind)s AND refresh.entity = %(entity)s
  AND refresh.tenant = ANY(%(tenants)s::text[]) AND refresh.definition = %(definition)s
  AND (%(everything)s OR published.version IS NULL OR published.version < refresh.version);

-- name: note_published
-- Notes what Redis was given; an older note does not replace a newer one.
INSERT INTO crm_ops.published AS stored (kind, entity, tenant, version)
SELECT %(kind)s, %(entity)s, given.tenant, given.version
FROM unnest(%(tenants)s::text[], %(versions)s::bigint[]) AS given (tenant, version)
ON CONFLICT (kind, entity, tenant) DO UPDATE
SET version = greatest(stored.version, excluded.version);

-- name: moment
-- The moment all published figures of an entity are exact as of; none while some are not published
-- or not captured. Only reads.
SELECT as_of FROM crm_ops.moment
WHERE entity = %(entity)s AND NOT EXISTS (
    SELECT FROM crm_ops.refresh AS refresh
    LEFT JOIN crm_ops.published AS published USING (kind, entity, tenant)
    WHERE refresh.kind = %(kind)s AND refresh.entity = %(entity)s
      AND (published.version IS NULL OR published.version < refresh.version
           OR NOT refresh.captured OR refresh.definition IS DISTINCT FROM %(definition)s));
