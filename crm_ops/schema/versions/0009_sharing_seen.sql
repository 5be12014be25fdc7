-- A digest of each part of a tenant's sharing configuration (its people, the members of its teams,
-- the rules of an entity) and the epoch it was of. Another digest at the same epoch was written past
-- the triggers.
CREATE TABLE crm_ops.sharing_seen (
    tenant text NOT NULL,
    part text NOT NULL,
    version bigint NOT NULL,
    digest text NOT NULL,
    PRIMARY KEY (tenant, part)
) WITH (fillfactor = 80);
