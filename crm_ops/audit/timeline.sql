-- name: gone
-- The tables that left the audit log and are dropped, the latest record of each stretch; `file_bytes`
-- is NULL where the rows were not archived. Only reads.
SELECT DISTINCT ON (lower, upper) name, lower, upper, rows, file_bytes, dropped_at
FROM crm_ops.audit_partition
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text) AND state = 'dropped'
ORDER BY lower, upper, id DESC;
