TRUNCATE crm_ops.bitmap, crm_ops.bitmap_position, crm_ops.bitmap_set;
DROP TABLE crm_ops.bitmap_change;
CREATE TABLE crm_ops.bitmap_change (
    set_id bigint NOT NULL,
    version bigint NOT NULL,
    facet text NOT NULL,
    bucket text,
    n bigint NOT NULL,
    went integer[] NOT NULL,
    came integer[] NOT NULL
);
CREATE INDEX bitmap_change_version ON crm_ops.bitmap_change (set_id, version);
CREATE TABLE crm_ops.bitmap_count (
    set_id bigint NOT NULL,
    facet text NOT NULL,
    bucket text,
    n bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (set_id, facet, bucket)
) WITH (fillfactor = 50);
