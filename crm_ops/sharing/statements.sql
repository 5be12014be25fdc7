-- The fixed parts of the triggers that move epochs, and what watches over them. A word with an @ is
-- replaced by quoted SQL.

-- name: drop_former
-- What releases before called the functions of a table, and what theirs called; nothing calls them.
DROP FUNCTION IF EXISTS crm_ops.move_sharing_epochs(text[]), crm_ops.sharing_rules(),
    crm_ops.sharing_users(), crm_ops.sharing_roles(), crm_ops.sharing_tenant_default(),
    crm_ops.sharing_members() CASCADE;

-- name: function
-- What one trigger calls. A function for each, and few expressions in it: of a short statement they
-- are a good part of the price, since each is made ready anew in each transaction.
CREATE OR REPLACE FUNCTION @function() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    moved bigint;
BEGIN
    @body;
    RETURN NULL;
END
$body$;

-- name: one
-- Most statements concern a single scope: that is seen without a table of all there are.
@one;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    @many

-- name: many
@some;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = @most THEN
        @all;
    END IF;

-- name: moved
-- Moves the epoch of each scope once, in the transaction of the writer. Strides are random, so that
-- what was read before a rollback, or a restore, is not met again. Each session moves a row of its
-- own, so nobody waits for anybody, in whatever isolation; only a prepared transaction outlives its
-- session's turn with it, so where there may be some, every change adds a row.
INSERT INTO crm_ops.sharing_epoch AS held (scope, slot, epoch)
        SELECT changed.scope, CASE current_setting('max_prepared_transactions')
            WHEN '0' THEN pg_backend_pid() ELSE nextval('crm_ops.sharing_epoch_slot_seq') END,
            1 + floor(random() * 4294967296)::bigint
        FROM (@changed) AS changed
        ON CONFLICT (scope, slot) DO UPDATE SET epoch = held.epoch + EXCLUDED.epoch;

-- name: single
-- The scope, where there is only one; rows of no tenant have none.
SELECT min(listed.scope) AS scope FROM (@scopes) AS listed
            HAVING min(listed.scope) = max(listed.scope)

-- name: distinct
SELECT DISTINCT listed.scope FROM (@scopes) AS listed
            WHERE listed.scope IS NOT NULL LIMIT @most

-- name: written
-- The scopes of rows that were inserted or deleted.
SELECT @scope AS scope FROM @rows

-- name: rewritten
-- The scopes of rows that were updated, whatever was changed.
SELECT @scope AS scope FROM new_rows UNION ALL SELECT @scope FROM old_rows

-- name: altered
-- The same, where any of the columns that matter was changed: people log in more often than they
-- change their role.
SELECT compared.scope FROM (
                SELECT 1 AS sign, @scope AS scope, ROW(@columns)::text AS cells FROM new_rows
                UNION ALL
                SELECT -1, @scope, ROW(@columns)::text FROM old_rows
            ) AS compared
            GROUP BY compared.scope, compared.cells HAVING sum(compared.sign) <> 0

-- name: forget
-- The rows without which nothing is remembered, of any declaration.
DELETE FROM crm_ops.sharing_epoch WHERE scope LIKE '*%%';

-- name: keep
-- From here on epochs are kept: that says slot 0, which no session has. The number is drawn from so
-- many that no sum with it is met again.
INSERT INTO crm_ops.sharing_epoch (scope, slot, epoch)
VALUES (@everything, 0, (random() * 1152921504606846976)::bigint);

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
INSERT INTO crm_ops.sharing_epoch AS held (scope, slot, epoch)
SELECT 't:' || t, pg_backend_pid(), 1 + floor(random() * 4294967296)::bigint
FROM unnest(%(tenants)s::text[]) AS t
ON CONFLICT (scope, slot) DO UPDATE SET epoch = held.epoch + EXCLUDED.epoch;

-- name: join_epochs
-- Joins the rows of sessions that have ended: their sum, the epoch, stays. The rows of those that
-- live stay, so that they need not wait for us. Safe to repeat, and beside writers.
WITH many AS (
    SELECT scope FROM crm_ops.sharing_epoch GROUP BY scope HAVING count(*) > 16
), ended AS (
    SELECT e.scope, e.slot FROM crm_ops.sharing_epoch AS e
    WHERE e.scope IN (SELECT scope FROM many) AND e.slot <> 0
        AND e.slot NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM crm_ops.sharing_epoch AS e USING ended
    WHERE (e.scope, e.slot) = (ended.scope, ended.slot)
    RETURNING e.scope, e.epoch
)
INSERT INTO crm_ops.sharing_epoch (scope, epoch)
SELECT scope, sum(epoch) FROM gone GROUP BY scope;

-- name: note_seen
-- Notes what was seen. Safe to repeat; in one order, so that two warmings at once wait for each other
-- instead of for both.
INSERT INTO crm_ops.sharing_seen (tenant, part, version, digest)
SELECT g.tenant, g.part, g.version, g.digest
FROM json_to_recordset(%(seen)s::json)
    AS g (tenant text, part text, version bigint, digest text)
ORDER BY g.tenant, g.part
ON CONFLICT (tenant, part) DO UPDATE SET version = EXCLUDED.version, digest = EXCLUDED.digest;
