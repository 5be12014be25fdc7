-- `changed` says of each aggregate at which version of the tenant its figures last changed, so that
-- Redis is given those alone; of one that is not named, they changed at the newest.
ALTER TABLE crm_ops.refresh ADD COLUMN changed jsonb NOT NULL DEFAULT '{}';
