-- name: run_of
-- What the ledger has of one DAG run; a task tried again may have begun it twice, the newest counts.
SELECT state, tenants, rows_seen, figures_written, took_ms, error
FROM crm_ops.run
WHERE job = %(job)s AND started_by = %(started_by)s
ORDER BY id DESC
LIMIT 1;

-- name: forget_jobs
-- Closes what Airflow's metadata has as running, at a moment when none of it can run. A second time
-- there is nothing to close.
UPDATE public.job SET state = 'failed', end_date = now() WHERE state = 'running';
