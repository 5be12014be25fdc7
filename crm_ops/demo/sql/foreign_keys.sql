-- The foreign keys, checked once, after the load.

-- name: role
ALTER TABLE crm.role
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (parent_id) REFERENCES crm.role;

-- name: app_user
ALTER TABLE crm.app_user
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (role_id) REFERENCES crm.role;

-- name: team
ALTER TABLE crm.team ADD FOREIGN KEY (company_id) REFERENCES crm.company;

-- name: team_member
ALTER TABLE crm.team_member
    ADD FOREIGN KEY (team_id) REFERENCES crm.team ON DELETE CASCADE,
    ADD FOREIGN KEY (user_id) REFERENCES crm.app_user ON DELETE CASCADE;

-- name: tag
ALTER TABLE crm.tag ADD FOREIGN KEY (company_id) REFERENCES crm.company;

-- name: account
ALTER TABLE crm.account
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (owner_id) REFERENCES crm.app_user;

-- name: contact
ALTER TABLE crm.contact
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (account_id) REFERENCES crm.account,
    ADD FOREIGN KEY (owner_id) REFERENCES crm.app_user;

-- name: lead
ALTER TABLE crm.lead
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (owner_id) REFERENCES crm.app_user;

-- name: lead_tag
ALTER TABLE crm.lead_tag
    ADD FOREIGN KEY (lead_id) REFERENCES crm.lead ON DELETE CASCADE,
    ADD FOREIGN KEY (tag_id) REFERENCES crm.tag ON DELETE CASCADE;

-- name: deal
ALTER TABLE crm.deal
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (account_id) REFERENCES crm.account,
    ADD FOREIGN KEY (owner_id) REFERENCES crm.app_user;

-- name: sharing_rule
ALTER TABLE crm.sharing_rule ADD FOREIGN KEY (company_id) REFERENCES crm.company;

-- name: record_share
ALTER TABLE crm.record_share
    ADD FOREIGN KEY (company_id) REFERENCES crm.company,
    ADD FOREIGN KEY (user_id) REFERENCES crm.app_user ON DELETE CASCADE;
