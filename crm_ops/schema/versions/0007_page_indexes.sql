-- The last success of a job, without reading its runs; the figures of a tenant, without reading those
-- of the others.
CREATE INDEX run_success ON crm_ops.run (job, finished_at DESC) WHERE state = 'success';
CREATE INDEX refresh_by_tenant ON crm_ops.refresh (tenant);
