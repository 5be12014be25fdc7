-- name: begin_run
-- Opens a run in the ledger.
INSERT INTO crm_ops.run (job, state, started_by, request, started_at)
VALUES (%(job)s, 'running', %(started_by)s, %(request)s::jsonb, %(now)s)
RETURNING id;

-- name: add_batch
-- Adds a planned batch; a second time it changes nothing.
INSERT INTO crm_ops.batch (run_id, number, label, work, state)
VALUES (%(run_id)s, %(number)s, %(label)s, %(work)s::jsonb, 'waiting')
ON CONFLICT (run_id, number) DO NOTHING;

-- name: begin_batch
-- Notes that a batch is being tried (again).
UPDATE crm_ops.batch
SET state = 'running', attempts = attempts + 1, started_at = %(now)s, finished_at = NULL, error = NULL
WHERE run_id = %(run_id)s AND number = %(number)s;

-- name: finish_batch
-- Stores what a batch did; the last try counts.
UPDATE crm_ops.batch
SET state = %(state)s, finished_at = %(now)s, tenants = %(tenants)s, rows_seen = %(rows_seen)s,
    figures_written = %(figures_written)s, failures = %(failures)s::jsonb,
    details = %(details)s::jsonb, error = %(error)s
WHERE run_id = %(run_id)s AND number = %(number)s;

-- name: batches
-- The batches of a run, in order.
SELECT number, label, state, tenants, rows_seen, figures_written, failures, details, error
FROM crm_ops.batch
WHERE run_id = %(run_id)s
ORDER BY number;

-- name: finish_run
-- Closes a run; closing it again stores the same.
UPDATE crm_ops.run
SET state = %(state)s, finished_at = %(now)s, tenants = %(tenants)s, rows_seen = %(rows_seen)s,
    figures_written = %(figures_written)s, error = %(error)s, details = %(details)s::jsonb,
    took_ms = greatest(0, extract(epoch FROM %(now)s - started_at) * 1000)::bigint
WHERE id = %(run_id)s
RETURNING job, took_ms;

-- name: close_lost
-- Closes runs of a job that began before a moment and never ended: their process is gone.
UPDATE crm_ops.run
SET state = 'failed', finished_at = %(now)s,
    error = 'the run never ended: its process was killed or its machine stopped'
WHERE job = %(job)s AND state = 'running' AND started_at < %(before)s;

-- name: request_of
-- What a run was asked to do.
SELECT job, request FROM crm_ops.run WHERE id = %(run_id)s;

-- name: last_runs
-- The newest run of each job, and its newest success.
SELECT DISTINCT ON (job) id, job, state, started_by, started_at, finished_at, tenants, rows_seen,
       figures_written, took_ms, error, details,
       (SELECT max(done.finished_at) FROM crm_ops.run AS done
        WHERE done.job = run.job AND done.state = 'success') AS last_success_at
FROM crm_ops.run
ORDER BY job, id DESC;

-- name: counted_before
-- How many rows each tenant has by the figures that can be served.
SELECT tenant, counted FROM crm_ops.refresh
WHERE kind = %(kind)s AND entity = %(entity)s AND definition IS NOT NULL;

-- name: freshness
-- The oldest moment any tenant's figures of an entity are exact as of: of captured ones the moment
-- of the last fold, whether they changed or not; and when the oldest proof was.
SELECT kind, entity, count(*) AS tenants, sum(counted)::bigint AS counted,
       min(CASE WHEN captured THEN greatest(refresh.as_of, moment.as_of) ELSE refresh.as_of END)
         AS as_of,
       CASE WHEN count(proved_at) = count(*) THEN min(proved_at) END AS proved_at
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.moment AS moment USING (entity)
WHERE %(tenants)s::text[] = '{}' OR tenant = ANY(%(tenants)s::text[])
GROUP BY kind, entity
ORDER BY kind, entity;

-- name: freshness_by_tenant
-- The same of each tenant: as of when all its figures of an entity are exact, and their proof.
SELECT tenant,
       min(CASE WHEN captured THEN greatest(refresh.as_of, moment.as_of) ELSE refresh.as_of END)
         AS as_of,
       CASE WHEN count(proved_at) = count(*) THEN min(proved_at) END AS proved_at
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.moment AS moment USING (entity)
WHERE entity = %(entity)s
GROUP BY tenant;
