-- The indexes that a CRM would have, made after the load.

-- name: role_company
CREATE INDEX ON crm.role (company_id);

-- name: role_parent
CREATE INDEX ON crm.role (parent_id);

-- name: user_company
CREATE INDEX ON crm.app_user (company_id);

-- name: user_role
CREATE INDEX ON crm.app_user (role_id);

-- name: team_company
CREATE INDEX ON crm.team (company_id);

-- name: team_member_user
CREATE INDEX ON crm.team_member (user_id);

-- name: tag_company
CREATE INDEX ON crm.tag (company_id);

-- name: account_status
CREATE INDEX ON crm.account (company_id, status);

-- name: account_owner
CREATE INDEX ON crm.account (company_id, owner_id);

-- name: account_created
CREATE INDEX ON crm.account (company_id, created_at);

-- name: contact_account
CREATE INDEX ON crm.contact (account_id);

-- name: contact_status
CREATE INDEX ON crm.contact (company_id, status);

-- name: contact_owner
CREATE INDEX ON crm.contact (company_id, owner_id);

-- name: contact_created
CREATE INDEX ON crm.contact (company_id, created_at);

-- name: lead_status
CREATE INDEX ON crm.lead (company_id, status);

-- name: lead_owner
CREATE INDEX ON crm.lead (company_id, owner_id);

-- name: lead_created
CREATE INDEX ON crm.lead (company_id, created_at);

-- name: lead_tag_tag
CREATE INDEX ON crm.lead_tag (tag_id);

-- name: deal_account
CREATE INDEX ON crm.deal (account_id);

-- name: deal_status
CREATE INDEX ON crm.deal (company_id, status);

-- name: deal_stage
CREATE INDEX ON crm.deal (company_id, stage);

-- name: deal_owner
CREATE INDEX ON crm.deal (company_id, owner_id);

-- name: deal_created
CREATE INDEX ON crm.deal (company_id, created_at);

-- name: sharing_rule_entity
CREATE INDEX ON crm.sharing_rule (company_id, entity);

-- name: record_share_record
CREATE UNIQUE INDEX ON crm.record_share (entity, record_id, user_id);

-- name: record_share_user
CREATE INDEX ON crm.record_share (user_id, entity);

-- name: record_share_company
CREATE INDEX ON crm.record_share (company_id, entity);

-- name: audit_log_company
CREATE INDEX ON crm.audit_log (company_id, created_at);
