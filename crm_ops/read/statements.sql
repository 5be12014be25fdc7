-- name: loose_columns
-- The columns of a table whose collation takes different texts for equal; only reads.
SELECT a.attname::text
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_collation l ON l.oid = a.attcollation
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND NOT l.collisdeterministic;
