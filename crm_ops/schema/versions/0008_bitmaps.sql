-- Which rows of a large tenant are in which bucket, as Roaring bitmaps over the rows' positions.
-- `version` grows with every change of a bitmap of the set; `definition` is what it was made with;
-- `positions` is the first position never given; `unusable` says why the set has no bitmaps;
-- `digest` is the sum of its bitmaps' digests, which nobody makes who does not know the `secret`: by
-- them a reader knows whether what came by another way is ours, and all of it.
CREATE TABLE crm_ops.bitmap_set (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity text NOT NULL,
    tenant text NOT NULL,
    version bigint NOT NULL,
    as_of timestamptz NOT NULL,
    definition text NOT NULL,
    positions integer NOT NULL,
    digest numeric NOT NULL DEFAULT 0,
    secret uuid NOT NULL DEFAULT gen_random_uuid(),
    unusable text,
    UNIQUE (entity, tenant)
) WITH (fillfactor = 50);

-- The position of each row of a set, by the row's key: small numbers make small bitmaps.
CREATE TABLE crm_ops.bitmap_position (
    set_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    PRIMARY KEY (set_id, key),
    UNIQUE (set_id, position)
);

-- The positions of the rows in one bucket of one facet, as pyroaring writes them, and how many they
-- are. The facet '' has all rows in its bucket NULL. `version` is the set's when it last changed.
CREATE TABLE crm_ops.bitmap (
    set_id bigint NOT NULL,
    facet text NOT NULL,
    bucket text,
    version bigint NOT NULL,
    n bigint NOT NULL,
    digest bigint NOT NULL,
    bits bytea NOT NULL,
    UNIQUE NULLS NOT DISTINCT (set_id, facet, bucket)
);
-- They are compressed as they are.
ALTER TABLE crm_ops.bitmap ALTER COLUMN bits SET STORAGE EXTERNAL;
