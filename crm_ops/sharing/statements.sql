-- The fixed parts of the triggers that move epochs, and what watches over them. A word with an @ is
-- replaced by quoted SQL.

-- name: move
-- Moves the epoch of each scope once, in the transaction of the caller. It waits for nobody: a row
-- that another writer holds is passed over, and where all are held one is added. Above READ
-- COMMITTED a row is always added, because one that changed since the snapshot would be an error.
-- Strides are random, so that a restored database does not come back to a number it had before.
CREATE OR REPLACE FUNCTION crm_ops.move_sharing_epochs(scopes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    moved text;
    stride bigint;
BEGIN
    IF cardinality(scopes) > @most THEN
        scopes := ARRAY[@everything];
    END IF;
    FOREACH moved IN ARRAY coalesce(scopes, '{}') LOOP
        stride := 1 + floor(random() * 4294967296)::bigint;
        IF current_setting('transaction_isolation') = 'read committed' THEN
            UPDATE crm_ops.sharing_epoch AS held SET epoch = held.epoch + stride
            WHERE held.scope = moved AND held.slot = (
                SELECT free.slot FROM crm_ops.sharing_epoch AS free
                WHERE free.scope = moved
                LIMIT 1
                FOR UPDATE SKIP LOCKED
            );
            CONTINUE WHEN FOUND;
        END IF;
        INSERT INTO crm_ops.sharing_epoch (scope, epoch) VALUES (moved, stride);
    END LOOP;
END
$body$;

-- name: move_is_ours
-- Who may write to our tables needs no function for it; nobody else gets one.
REVOKE ALL ON FUNCTION crm_ops.move_sharing_epochs(text[]) FROM PUBLIC;

-- name: drop_move
DROP FUNCTION IF EXISTS crm_ops.move_sharing_epochs(text[]);

-- name: function
-- What the triggers of one table call. An update that changes none of the columns that matter moves
-- nothing: people log in more often than they change their role.
CREATE OR REPLACE FUNCTION @function() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    scopes text[];
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            SELECT array_agg(found.scope) INTO scopes FROM (
                SELECT DISTINCT @scope AS scope FROM new_rows LIMIT @most
            ) AS found WHERE found.scope IS NOT NULL;
        WHEN 'DELETE' THEN
            SELECT array_agg(found.scope) INTO scopes FROM (
                SELECT DISTINCT @scope AS scope FROM old_rows LIMIT @most
            ) AS found WHERE found.scope IS NOT NULL;
        WHEN 'UPDATE' THEN
            SELECT array_agg(found.scope) INTO scopes FROM (
                SELECT DISTINCT changed.scope FROM (
                    (SELECT @scope AS scope, @compared FROM old_rows
                    EXCEPT SELECT @scope, @compared FROM new_rows)
                    UNION ALL
                    (SELECT @scope, @compared FROM new_rows
                    EXCEPT SELECT @scope, @compared FROM old_rows)
                ) AS changed LIMIT @most
            ) AS found WHERE found.scope IS NOT NULL;
        ELSE
            scopes := ARRAY[@everything];
    END CASE;
    PERFORM crm_ops.move_sharing_epochs(scopes);
    RETURN NULL;
END
$body$;

-- name: forget
-- The row without which nothing is remembered, of any declaration. Waits for a writer who moves it.
DELETE FROM crm_ops.sharing_epoch WHERE scope LIKE '*%%';

-- name: keep
-- From here on epochs are kept. The number is drawn from so many that no sum with it is met again.
INSERT INTO crm_ops.sharing_epoch (scope, epoch)
VALUES (@everything, (random() * 1152921504606846976)::bigint);

-- name: triggers
-- The numbers (from 0) of the wanted triggers that are not there, or do not fire.
SELECT w.number - 1
FROM unnest(%(schemas)s::text[], %(tables)s::text[], %(triggers)s::text[])
    WITH ORDINALITY AS w (schema, name, trigger, number)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = w.schema AND c.relname = w.name AND t.tgname = w.trigger
        AND t.tgenabled IN ('O', 'A')
)
ORDER BY w.number;

-- name: enums
-- The types that CREATE TYPE ... AS ENUM made, as format_type writes them.
SELECT format_type(oid, NULL) FROM pg_type WHERE typtype = 'e';

-- name: setting
-- What a setting is now; empty where it was never made.
SELECT coalesce(current_setting(%(setting)s, true), '');

-- name: set
-- For the session, because there may be no transaction.
SELECT set_config(%(setting)s, %(tenant)s, false);

-- name: move_tenants
-- Moves the epochs of tenants whose triggers were bypassed.
SELECT crm_ops.move_sharing_epochs(ARRAY(SELECT 't:' || t FROM unnest(%(tenants)s::text[]) AS t));

-- name: join_epochs
-- Joins the rows of scopes that got many: their sum, the epoch, stays. Rows that a writer holds stay
-- as they are. Safe to repeat, and beside writers.
WITH many AS (
    SELECT scope FROM crm_ops.sharing_epoch GROUP BY scope HAVING count(*) > 64
), free AS (
    SELECT e.scope, e.slot FROM crm_ops.sharing_epoch AS e
    WHERE e.scope IN (SELECT scope FROM many)
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM crm_ops.sharing_epoch AS e USING free
    WHERE (e.scope, e.slot) = (free.scope, free.slot)
    RETURNING e.scope, e.epoch
)
INSERT INTO crm_ops.sharing_epoch (scope, epoch)
SELECT scope, sum(epoch) FROM gone GROUP BY scope;

-- name: bypassed
-- The parts whose digest differs from the noted one though the epoch is the same.
SELECT g.tenant, g.part
FROM unnest(%(tenants)s::text[], %(parts)s::text[], %(versions)s::bigint[], %(digests)s::text[])
    AS g (tenant, part, version, digest)
JOIN crm_ops.sharing_seen AS s USING (tenant, part)
WHERE s.version = g.version AND s.digest <> g.digest
ORDER BY g.tenant, g.part;

-- name: moved_since
-- How many tenants have another epoch than was noted.
SELECT count(DISTINCT g.tenant)
FROM unnest(%(tenants)s::text[], %(parts)s::text[], %(versions)s::bigint[], %(digests)s::text[])
    AS g (tenant, part, version, digest)
JOIN crm_ops.sharing_seen AS s USING (tenant, part)
WHERE s.version <> g.version;

-- name: note_seen
-- Notes what was seen. Safe to repeat: what is as noted is not written again; in one order, so that
-- two warmings at once wait for each other instead of for both.
INSERT INTO crm_ops.sharing_seen (tenant, part, version, digest)
SELECT g.tenant, g.part, g.version, g.digest
FROM unnest(%(tenants)s::text[], %(parts)s::text[], %(versions)s::bigint[], %(digests)s::text[])
    AS g (tenant, part, version, digest)
LEFT JOIN crm_ops.sharing_seen AS s USING (tenant, part)
WHERE (s.version, s.digest) IS DISTINCT FROM (g.version, g.digest)
ORDER BY g.tenant, g.part
ON CONFLICT (tenant, part) DO UPDATE SET version = EXCLUDED.version, digest = EXCLUDED.digest;
