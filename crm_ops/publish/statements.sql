-- name: facet_counts
-- The stored facet counts of some tenants of an entity, with their moment; one snapshot, only reads.
SELECT refresh.tenant, refresh.definition, refresh.version, refresh.as_of, refresh.counted,
       stored.facet, stored.bucket, stored.n
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.facet_count AS stored
  ON stored.entity = refresh.entity AND stored.tenant = refresh.tenant AND stored.facet <> ''
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s AND refresh.definition IS NOT NULL
  AND refresh.tenant = ANY(%(tenants)s::text[])
ORDER BY refresh.tenant, stored.facet;

-- name: aggregate_figures
-- The stored figures of some tenants of an aggregate, with their moment; one snapshot, only reads.
SELECT refresh.tenant, refresh.definition, refresh.version, refresh.as_of,
       stored.dimensions, stored.measured, stored.n, stored.total, stored.low, stored.high
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.aggregate AS stored
  ON stored.aggregate = %(aggregate)s AND stored.tenant = refresh.tenant
WHERE refresh.kind = 'aggregates' AND refresh.entity = %(entity)s
  AND refresh.definition IS NOT NULL
  AND refresh.tenant = ANY(%(tenants)s::text[])
ORDER BY refresh.tenant, stored.dimensions, stored.measured;


-- name: behind
-- The tenants whose figures Redis was not given in their latest version, or all of them; figures
-- made with another catalog are not for serving. Only reads.
SELECT refresh.tenant, refresh.version
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
