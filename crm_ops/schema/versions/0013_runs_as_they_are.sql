-- `held` says of a run that its process holds the advisory lock "crm_ops:run:<id>" while it lives.
ALTER TABLE crm_ops.run ADD COLUMN held boolean NOT NULL DEFAULT false;

-- Whether nobody holds the lock of a run. A function, that it is looked for in few rows only.
CREATE FUNCTION crm_ops.nobody_at(run bigint) RETURNS boolean STABLE
BEGIN ATOMIC
    SELECT NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint << 32 | objid::bigint = hashtextextended('crm_ops:run:' || run, 0));
END;

-- Runs as they are: one that goes on by its row, but whose process is `gone`, has failed.
CREATE VIEW crm_ops.run_as_it_is AS
SELECT id, job, CASE WHEN gone THEN 'failed' ELSE state END AS state, started_by, request,
       started_at, finished_at, tenants, rows_seen, figures_written, took_ms,
       CASE WHEN gone THEN 'its process was killed or its machine stopped' ELSE error END AS error,
       details, gone
FROM (
    SELECT run.*,
           CASE WHEN state = 'running' AND held THEN crm_ops.nobody_at(id) ELSE false END AS gone
    FROM crm_ops.run AS run
) AS run;
