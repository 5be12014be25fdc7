-- The epoch of a scope (a tenant's sharing rules, users and roles; a user's teams) is the sum of its
-- rows. A writer moves whichever row nobody else has locked, or adds one, and so waits for nobody.
CREATE TABLE crm_ops.sharing_epoch (
    scope text NOT NULL,
    slot bigint GENERATED ALWAYS AS IDENTITY,
    epoch bigint NOT NULL,
    PRIMARY KEY (scope, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
