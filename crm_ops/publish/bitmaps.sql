-- name: behind
-- The sets whose version Redis was not given, or all of them; only reads.
SELECT made.tenant, made.version
FROM crm_ops.bitmap_set AS made
JOIN crm_ops.refresh AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
 AND refresh.captured AND refresh.definition = made.definition
LEFT JOIN crm_ops.published AS published
  ON published.kind = 'bitmaps' AND published.entity = made.entity
 AND published.tenant = made.tenant
WHERE made.entity = %(entity)s AND made.tenant = ANY(%(tenants)s::text[])
  AND made.definition = %(definition)s AND made.unusable IS NULL
  AND (%(everything)s OR published.version IS NULL OR published.version < made.version)
ORDER BY made.tenant;

-- name: set
-- A set as it is now; only reads.
SELECT id, version, definition FROM crm_ops.bitmap_set
WHERE entity = %(entity)s AND tenant = %(tenant)s AND unusable IS NULL;

-- name: changed
-- The bitmaps of a set that changed after a version; only reads.
SELECT facet, bucket, version, digest, bits FROM crm_ops.bitmap
WHERE set_id = %(set)s AND version > %(after)s;
