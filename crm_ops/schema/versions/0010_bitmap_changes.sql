-- A set's bitmaps are as of its version `compacted`; what happened since is in bitmap_change, which
-- has all changes after `since`. `pending` tells how much there is to be put into the bitmaps.
ALTER TABLE crm_ops.bitmap_set
    DROP COLUMN digest,
    DROP COLUMN secret,
    ADD COLUMN compacted bigint NOT NULL DEFAULT 0,
    ADD COLUMN since bigint NOT NULL DEFAULT 0,
    ADD COLUMN pending bigint NOT NULL DEFAULT 0;
UPDATE crm_ops.bitmap_set SET compacted = version, since = version;
DELETE FROM crm_ops.published WHERE kind = 'bitmaps';

-- How many rows are in one bucket of one facet, as of the set's version.
CREATE TABLE crm_ops.bitmap_count (
    set_id bigint NOT NULL,
    facet text NOT NULL,
    bucket text,
    n bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (set_id, facet, bucket)
) WITH (fillfactor = 50);
INSERT INTO crm_ops.bitmap_count SELECT set_id, facet, bucket, n FROM crm_ops.bitmap WHERE n <> 0;
DELETE FROM crm_ops.bitmap WHERE n = 0;
ALTER TABLE crm_ops.bitmap DROP COLUMN version, DROP COLUMN n, DROP COLUMN digest;

-- What one fold did to one bucket: the positions of the rows that `went`, then of those that `came`,
-- and how many rows were in it after.
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
