-- A Roaring bitmap is compressed already: PostgreSQL's own attempt saves a twentieth of the space and
-- takes more than half of the time in which one is written.
ALTER TABLE crm_ops.bitmap ALTER COLUMN bits SET STORAGE EXTERNAL;
