-- How many rows are in a bucket is what its count says.
DROP TABLE crm_ops.bitmap_count;

-- What one fold did to the buckets of one facet: how many rows `went` out of each and how many `came`
-- into it, and the positions of those that went and of those that came, one bucket's after the
-- other's.
ALTER TABLE crm_ops.bitmap_change RENAME TO bitmap_change_of_bucket;
ALTER INDEX crm_ops.bitmap_change_version RENAME TO bitmap_change_of_bucket_version;
CREATE TABLE crm_ops.bitmap_change (
    set_id bigint NOT NULL,
    version bigint NOT NULL,
    facet text NOT NULL,
    buckets text[] NOT NULL,
    went_n integer[] NOT NULL,
    came_n integer[] NOT NULL,
    went integer[] NOT NULL,
    came integer[] NOT NULL
);
-- Positions in no order: to try to make them smaller takes longer than to write them.
ALTER TABLE crm_ops.bitmap_change
    ALTER COLUMN went SET STORAGE EXTERNAL,
    ALTER COLUMN came SET STORAGE EXTERNAL;
CREATE INDEX bitmap_change_version ON crm_ops.bitmap_change (set_id, version);
INSERT INTO crm_ops.bitmap_change (set_id, version, facet, buckets, went_n, came_n, went, came)
SELECT set_id, version, facet, array_agg(bucket), array_agg(cardinality(went)),
       array_agg(cardinality(came)),
       ('{' || coalesce(string_agg(nullif(btrim(went::text, '{}'), ''), ','), '') || '}')::integer[],
       ('{' || coalesce(string_agg(nullif(btrim(came::text, '{}'), ''), ','), '') || '}')::integer[]
FROM crm_ops.bitmap_change_of_bucket
GROUP BY set_id, version, facet;
DROP TABLE crm_ops.bitmap_change_of_bucket;
