-- name: columns
-- The columns of a table and their types, in order; only reads.
SELECT column_.attname AS name, format_type(column_.atttypid, column_.atttypmod) AS type,
    format_type(column_.atttypid, NULL) AS plain_type,
    column_.attgenerated <> '' AS generated
FROM pg_attribute AS column_
JOIN pg_class AS class ON class.oid = column_.attrelid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname = %(schema)s AND class.relname = %(name)s
    AND column_.attnum > 0 AND NOT column_.attisdropped
ORDER BY column_.attnum;

-- name: present
-- What we know of a table that is not dropped; only reads.
SELECT id, state, lower, upper, attempt, file, file_bytes, sha256, rows, checksum, link, replaces
FROM crm_ops.audit_partition
WHERE parent = format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text)
    AND name = format('%%I.%%I', %(schema)s::text, %(name)s::text) AND state <> 'dropped';

-- name: record_exported
-- Notes the file that a table was written to; written again, it says the same of the newer file.
UPDATE crm_ops.audit_partition
SET state = 'exported', file = %(file)s, file_bytes = %(file_bytes)s, sha256 = %(sha256)s,
    rows = %(rows)s, exported_at = now()
WHERE id = %(id)s AND state IN ('detached', 'exported');

-- name: record_verified
-- Notes that the file was read back and holds the table's rows, with its link of the chain; in the
-- transaction that adds the link.
UPDATE crm_ops.audit_partition
SET state = 'verified', rows = %(rows)s, checksum = %(checksum)s, link = %(link)s,
    verified_at = now()
WHERE id = %(id)s AND state = 'exported';

-- name: record_again
-- Sends a table back to be exported to another file: the file, or the table, is not what it was. A
-- link that it had is replaced by the next one.
UPDATE crm_ops.audit_partition
SET state = 'detached', attempt = attempt + 1, file = NULL, file_bytes = NULL, sha256 = NULL,
    rows = NULL, checksum = NULL, exported_at = NULL, verified_at = NULL, link = NULL,
    replaces = CASE WHEN link IS NULL THEN replaces ELSE replaces || link END
WHERE id = %(id)s AND state IN ('exported', 'verified');

-- name: links
-- The manifest chain in its order; only reads.
SELECT number, entry, hash FROM crm_ops.audit_link
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
ORDER BY number;

-- name: last_link
-- The head of the manifest chain; no row before the first.
SELECT number, hash FROM crm_ops.audit_link
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
ORDER BY number DESC LIMIT 1;

-- name: add_link
-- Adds a link; a number that is taken is refused.
INSERT INTO crm_ops.audit_link (parent, number, entry, hash)
VALUES (format('%%I.%%I', %(schema)s::text, %(name)s::text), %(number)s, %(entry)s, %(hash)s);

-- name: record_restored
-- Notes a table that was filled from the archive and attached, with the links it was filled from; in
-- the transaction that attaches it.
INSERT INTO crm_ops.audit_partition
    (parent, name, lower, upper, state, rows, detached_at, restored_at, replaces)
VALUES (format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text),
        format('%%I.%%I', %(schema)s::text, %(name)s::text),
        %(lower)s, %(upper)s, 'restored', %(rows)s, now(), now(), %(replaces)s::bigint[])
ON CONFLICT (parent, name) WHERE state <> 'dropped' DO UPDATE
SET state = excluded.state, rows = excluded.rows, restored_at = excluded.restored_at,
    lower = excluded.lower, upper = excluded.upper, replaces = excluded.replaces, link = NULL;
