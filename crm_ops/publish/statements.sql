-- name: facet_counts
-- The stored facet counts of some tenants of an entity, with their moment; one snapshot, only reads.
SELECT refresh.tenant, refresh.version, refresh.as_of, refresh.counted,
       stored.facet, stored.bucket, stored.n
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.facet_count AS stored
  ON stored.entity = refresh.entity AND stored.tenant = refresh.tenant AND stored.facet <> ''
WHERE refresh.kind = 'facets' AND refresh.entity = %(entity)s
  AND refresh.tenant = ANY(%(tenants)s::text[])
ORDER BY refresh.tenant, stored.facet;

-- name: aggregate_figures
-- The stored figures of some tenants of an aggregate, with their moment; one snapshot, only reads.
SELECT refresh.tenant, refresh.version, refresh.as_of,
       stored.dimensions, stored.measured, stored.n, stored.total, stored.low, stored.high
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.aggregate AS stored
  ON stored.aggregate = %(aggregate)s AND stored.tenant = refresh.tenant
WHERE refresh.kind = 'aggregates' AND refresh.entity = %(entity)s
  AND refresh.tenant = ANY(%(tenants)s::text[])
ORDER BY refresh.tenant, stored.dimensions, stored.measured;
