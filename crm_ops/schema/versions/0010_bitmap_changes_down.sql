DROP TABLE crm_ops.bitmap_change;
DROP TABLE crm_ops.bitmap_count;
TRUNCATE crm_ops.bitmap, crm_ops.bitmap_position, crm_ops.bitmap_set;
ALTER TABLE crm_ops.bitmap
    ADD COLUMN version bigint NOT NULL,
    ADD COLUMN n bigint NOT NULL,
    ADD COLUMN digest bigint NOT NULL;
ALTER TABLE crm_ops.bitmap_set
    DROP COLUMN pending,
    DROP COLUMN since,
    DROP COLUMN compacted,
    ADD COLUMN digest numeric NOT NULL DEFAULT 0,
    ADD COLUMN secret uuid NOT NULL DEFAULT gen_random_uuid();
