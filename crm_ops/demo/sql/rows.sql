-- The rows of each table, for the numbers %(first)s to %(last)s of what drives the table: its own
-- ids, or those of the companies, leads or shared records that its rows belong to. A second run of
-- the same numbers is refused by the primary keys.
-- Columns are drawn with the salt "table.column", so that no column follows from another by chance.
-- OFFSET 0 keeps a subquery apart, so that what it works out is not worked out again at every use.

-- name: company
INSERT INTO crm.company (id, name, is_active, plan, default_access, created_at)
SELECT id,
    pg_temp.firm(id, 'company'),
    mod(id, 13) <> 0,
    pg_temp.pick(pg_temp.dice(id, 'company.plan'),
        ARRAY['team', 'business', 'free', 'enterprise', NULL], ARRAY[.40, .65, .80, .95]),
    pg_temp.pick(pg_temp.dice(id, 'company.default_access'),
        ARRAY['private', 'public_read', 'public_read_write'], ARRAY[.90, .98]),
    pg_temp.opening(%(as_of)s) - interval '1 year' * pg_temp.dice(id, 'company.created_at')
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS id;

-- name: role
-- A tree: three roles report to each one, so 8 to 13 roles are 3 levels deep and up to 40 are 4.
INSERT INTO crm.role (id, company_id, name, parent_id)
SELECT tenant.first_role + n - 1, tenant.id,
    CASE
        WHEN n = 1 THEN 'Chief Executive'
        WHEN n <= 4 THEN (ARRAY['Sales', 'Marketing', 'Service'])[n - 1] || ' Director'
        WHEN n <= 13 THEN 'Manager ' || n
        ELSE 'Representative ' || n
    END,
    CASE WHEN n > 1 THEN tenant.first_role + (n - 2) / 3 END
FROM pg_temp.tenant, generate_series(1, tenant.roles) AS n
WHERE tenant.id BETWEEN %(first)s AND %(last)s;

-- name: app_user
-- The first user of a company has the top role; the others have more often a low one.
INSERT INTO crm.app_user (id, company_id, role_id, name, email, is_active, created_at)
SELECT id, company_id,
    CASE
        WHEN id = first_user THEN first_role
        WHEN pg_temp.dice(id, 'app_user.has_role') >= .03 THEN
            first_role + roles - 1
                - floor((roles - 1) * pg_temp.skew(id, 'app_user.role_id'))::bigint
    END,
    pg_temp.first_name(id, 'app_user') || ' ' || pg_temp.last_name(id, 'app_user'),
    'user' || id || '@company' || company_id || '.example',
    id = first_user OR pg_temp.dice(id, 'app_user.is_active') >= .08,
    pg_temp.later(pg_temp.opening(%(as_of)s), id, 'app_user.created_at', %(as_of)s)
FROM (
    SELECT first_user + n - 1 AS id, tenant.id AS company_id, first_user, first_role, roles
    FROM pg_temp.tenant, generate_series(1, tenant.users) AS n
    WHERE tenant.id BETWEEN %(first)s AND %(last)s
) AS member;

-- name: team
INSERT INTO crm.team (id, company_id, name)
SELECT tenant.first_team + n - 1, tenant.id,
    (ARRAY['North', 'South', 'East', 'West', 'Key Accounts', 'Partners', 'Renewals', 'Zürich'])
        [1 + mod(n - 1, 8)] || ' ' || (1 + (n - 1) / 8)
FROM pg_temp.tenant, generate_series(1, tenant.teams) AS n
WHERE tenant.id BETWEEN %(first)s AND %(last)s;

-- name: team_member
-- Most users are in one team, some in two, some in none.
INSERT INTO crm.team_member (team_id, user_id)
SELECT first_team
        + mod(floor(teams * pg_temp.dice(member.id, 'team_member.team_id'))::bigint + n, teams),
    member.id
FROM pg_temp.tenant
JOIN crm.app_user AS member ON member.company_id = tenant.id
CROSS JOIN LATERAL generate_series(
    1, width_bucket(pg_temp.dice(member.id, 'team_member.teams'), ARRAY[.15, .85])) AS n
WHERE tenant.id BETWEEN %(first)s AND %(last)s;

-- name: tag
INSERT INTO crm.tag (id, company_id, name)
SELECT tenant.first_tag + n - 1, tenant.id,
    (ARRAY['hot', 'vip', 'follow up', 'newsletter', 'trade fair', 'do not call', 'überfällig',
        'renewal', 'upsell', 'pilot'])[1 + mod(n - 1, 10)]
        || CASE WHEN n > 10 THEN ' ' || (1 + (n - 1) / 10) ELSE '' END
FROM pg_temp.tenant, generate_series(1, tenant.tags) AS n
WHERE tenant.id BETWEEN %(first)s AND %(last)s;

-- name: account
INSERT INTO crm.account (
    id, company_id, owner_id, name, type, status, priority, industry, annual_revenue, currency,
    created_at, updated_at, deleted_at)
SELECT id, company_id,
    CASE WHEN pg_temp.dice(id, 'account.has_owner') >= .05
        THEN pg_temp.one_in(first_user, users, id, 'account.owner_id') END,
    pg_temp.firm(id, 'account'),
    pg_temp.pick(pg_temp.dice(id, 'account.type'),
        ARRAY['customer', 'prospect', 'partner', 'vendor', 'competitor', NULL],
        ARRAY[.45, .75, .85, .91, .95]),
    pg_temp.pick(pg_temp.dice(id, 'account.status'),
        ARRAY['active', 'onboarding', 'dormant', 'churned', NULL], ARRAY[.60, .72, .88, .97]),
    pg_temp.pick(pg_temp.dice(id, 'account.priority'),
        ARRAY['medium', 'low', 'high', 'urgent', NULL], ARRAY[.48, .70, .86, .90]),
    pg_temp.pick(pg_temp.dice(id, 'account.industry'),
        ARRAY['technology', 'manufacturing', 'finance', 'retail', 'healthcare', 'education',
            'energy', 'logistics', 'media', 'public_sector', 'agriculture', 'R&D', NULL],
        ARRAY[.22, .38, .50, .61, .70, .76, .81, .86, .90, .93, .945, .955]),
    CASE WHEN pg_temp.dice(id, 'account.has_revenue') >= .12
        THEN (CASE WHEN pg_temp.dice(id, 'account.round_revenue') < .7
            THEN round(revenue / 5000) * 5000 ELSE revenue END)::numeric(18, 2) END,
    CASE WHEN pg_temp.dice(id, 'account.has_currency') >= .03
        THEN pg_temp.pick(pg_temp.dice(id, 'account.currency'),
            ARRAY['USD', 'EUR', 'GBP'], ARRAY[.70, .92]) END,
    created_at, updated_at,
    CASE WHEN pg_temp.dice(id, 'account.is_deleted') < .04 THEN pg_temp.later(
        coalesce(updated_at, created_at), id, 'account.deleted_at', %(as_of)s) END
FROM (
    SELECT id, company_id, first_user, users, created_at,
        40e6 * pg_temp.skew(id, 'account.revenue') * pg_temp.skew(id, 'account.revenue') AS revenue,
        CASE WHEN pg_temp.dice(id, 'account.is_updated') < .85
            THEN pg_temp.later(created_at, id, 'account.updated_at', %(as_of)s) END AS updated_at
    FROM (
        SELECT account.id, tenant.id AS company_id, first_user, users,
            pg_temp.created(account.id, %(accounts)s, 'account.created_at', %(as_of)s) AS created_at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS account (id)
        JOIN pg_temp.tenant
            ON tenant.id = pg_temp.company_of('account', account.id, %(accounts)s, %(shares)s)
        OFFSET 0
    ) AS dated
) AS drawn;

-- name: contact
-- A contact belongs to the company of an account, even where it has lost the account itself.
INSERT INTO crm.contact (
    id, company_id, account_id, owner_id, first_name, last_name, email, role, department, status,
    priority, created_at, updated_at, deleted_at)
SELECT id, company_id,
    CASE WHEN pg_temp.dice(id, 'contact.has_account') >= .08 THEN account_id END,
    CASE WHEN pg_temp.dice(id, 'contact.has_owner') >= .07
        THEN pg_temp.one_in(first_user, users, id, 'contact.owner_id') END,
    CASE WHEN pg_temp.dice(id, 'contact.has_first') >= .02
        THEN pg_temp.first_name(id, 'contact') END,
    pg_temp.last_name(id, 'contact'),
    CASE WHEN pg_temp.dice(id, 'contact.has_email') >= .08
        THEN 'contact' || id || '@mail.example' END,
    pg_temp.pick(pg_temp.dice(id, 'contact.role'),
        ARRAY['end_user', 'decision_maker', 'influencer', 'champion', 'billing', NULL],
        ARRAY[.40, .60, .76, .83, .90]),
    pg_temp.pick(pg_temp.dice(id, 'contact.department'),
        ARRAY['sales', 'it', 'finance', 'operations', 'marketing', 'hr', 'legal', NULL],
        ARRAY[.28, .48, .62, .74, .83, .88, .91]),
    pg_temp.pick(pg_temp.dice(id, 'contact.status'),
        ARRAY['active', 'inactive', 'unsubscribed', 'bounced', NULL], ARRAY[.70, .86, .92, .95]),
    pg_temp.pick(pg_temp.dice(id, 'contact.priority'),
        ARRAY['medium', 'low', 'high', 'urgent', NULL], ARRAY[.45, .72, .84, .87]),
    created_at, updated_at,
    CASE WHEN pg_temp.dice(id, 'contact.is_deleted') < .04 THEN pg_temp.later(
        coalesce(updated_at, created_at), id, 'contact.deleted_at', %(as_of)s) END
FROM (
    SELECT id, account_id, company_id, first_user, users, created_at,
        CASE WHEN pg_temp.dice(id, 'contact.is_updated') < .75
            THEN pg_temp.later(created_at, id, 'contact.updated_at', %(as_of)s) END AS updated_at
    FROM (
        SELECT contact.id, tenant.id AS company_id, first_user, users,
            pg_temp.account_of('contact', contact.id, %(accounts)s) AS account_id,
            pg_temp.created(contact.id, %(contacts)s, 'contact.created_at', %(as_of)s) AS created_at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS contact (id)
        JOIN pg_temp.tenant
            ON tenant.id = pg_temp.company_of('contact', contact.id, %(accounts)s, %(shares)s)
        OFFSET 0
    ) AS dated
) AS drawn;

-- name: lead
-- One score in a hundred is below 0 and one above 100; most are whole or half points.
INSERT INTO crm.lead (
    id, company_id, owner_id, name, company_name, email, status, priority, source, industry, score,
    attributes, created_at, updated_at, deleted_at)
SELECT id, company_id,
    CASE WHEN pg_temp.dice(id, 'lead.has_owner') >= .06
        THEN pg_temp.one_in(first_user, users, id, 'lead.owner_id') END,
    pg_temp.first_name(id, 'lead') || ' ' || pg_temp.last_name(id, 'lead'),
    CASE WHEN pg_temp.dice(id, 'lead.has_company') >= .15 THEN pg_temp.firm(id, 'lead') END,
    CASE WHEN pg_temp.dice(id, 'lead.has_email') >= .10 THEN 'lead' || id || '@mail.example' END,
    pg_temp.pick(pg_temp.dice(id, 'lead.status'),
        ARRAY['new', 'contacted', 'qualified', 'unqualified', 'nurturing', 'converted', NULL],
        ARRAY[.38, .60, .75, .85, .91, .96]),
    pg_temp.pick(pg_temp.dice(id, 'lead.priority'),
        ARRAY['medium', 'low', 'high', 'urgent', NULL], ARRAY[.50, .74, .88, .92]),
    pg_temp.pick(pg_temp.dice(id, 'lead.source'),
        ARRAY['web', 'referral', 'email', 'event', 'cold_call', 'partner', 'social', NULL],
        ARRAY[.42, .58, .70, .79, .86, .91, .95]),
    pg_temp.pick(pg_temp.dice(id, 'lead.industry'),
        ARRAY['technology', 'manufacturing', 'finance', 'retail', 'healthcare', 'education',
            'energy', 'logistics', 'media', 'public_sector', 'agriculture', 'R&D', NULL],
        ARRAY[.25, .39, .50, .60, .68, .74, .79, .83, .87, .90, .915, .925]),
    CASE width_bucket(pg_temp.dice(id, 'lead.score_kind'), ARRAY[.08, .09, .10, .20])
        WHEN 0 THEN NULL
        WHEN 1 THEN (-0.1 - 10 * points)::numeric(6, 2)
        WHEN 2 THEN (100.1 + 30 * points)::numeric(6, 2)
        WHEN 3 THEN (100 * points)::numeric(6, 2)
        ELSE (round(200 * points) / 2)::numeric(6, 2)
    END,
    CASE WHEN pg_temp.dice(id, 'lead.has_attributes') >= .10 THEN jsonb_build_object(
        'region', pg_temp.pick(pg_temp.dice(id, 'lead.region'),
            ARRAY['emea', 'americas', 'apac', NULL], ARRAY[.45, .80, .95]),
        'campaign', pg_temp.pick(pg_temp.dice(id, 'lead.campaign'),
            ARRAY[NULL, 'spring', 'autumn', 'Frühling'], ARRAY[.40, .70, .95]),
        'employees', floor(5000 * pg_temp.skew(id, 'lead.employees'))::int,
        'newsletter', pg_temp.dice(id, 'lead.newsletter') < .30) END,
    created_at, updated_at,
    CASE WHEN pg_temp.dice(id, 'lead.is_deleted') < .04 THEN pg_temp.later(
        coalesce(updated_at, created_at), id, 'lead.deleted_at', %(as_of)s) END
FROM (
    SELECT id, company_id, first_user, users, created_at,
        pg_temp.skew(id, 'lead.score') AS points,
        CASE WHEN pg_temp.dice(id, 'lead.is_updated') < .80
            THEN pg_temp.later(created_at, id, 'lead.updated_at', %(as_of)s) END AS updated_at
    FROM (
        SELECT lead.id, tenant.id AS company_id, first_user, users,
            pg_temp.created(lead.id, %(leads)s, 'lead.created_at', %(as_of)s) AS created_at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS lead (id)
        JOIN pg_temp.tenant
            ON tenant.id = pg_temp.company_of('lead', lead.id, %(accounts)s, %(shares)s)
        OFFSET 0
    ) AS dated
) AS drawn;

-- name: lead_tag
-- Every second lead has no tag; the others have one to three different ones.
INSERT INTO crm.lead_tag (lead_id, tag_id)
SELECT lead.id,
    first_tag + mod(floor(tags * pg_temp.skew(lead.id, 'lead_tag.tag_id'))::bigint + n, tags)
FROM crm.lead
JOIN pg_temp.tenant ON tenant.id = lead.company_id
CROSS JOIN LATERAL generate_series(
    1, width_bucket(pg_temp.dice(lead.id, 'lead_tag.tags'), ARRAY[.50, .80, .95])) AS n
WHERE lead.id BETWEEN %(first)s AND %(last)s;

-- name: deal
-- Status and probability follow the stage, where there is one.
INSERT INTO crm.deal (
    id, company_id, account_id, owner_id, name, status, priority, stage, probability, amount,
    currency, close_date, created_at, updated_at, deleted_at)
SELECT id, company_id,
    CASE WHEN pg_temp.dice(id, 'deal.has_account') >= .06 THEN account_id END,
    CASE WHEN pg_temp.dice(id, 'deal.has_owner') >= .04
        THEN pg_temp.one_in(first_user, users, id, 'deal.owner_id') END,
    pg_temp.any_of(pg_temp.dice(id, 'deal.name'),
        ARRAY['Renewal', 'New licence', 'Upgrade', 'Pilot', 'Service plan', 'Général'])
        || ' ' || id,
    CASE
        WHEN pg_temp.dice(id, 'deal.has_status') < .03 THEN NULL
        WHEN stage = 'closed_won' THEN 'won'
        WHEN stage = 'closed_lost' THEN 'lost'
        WHEN pg_temp.dice(id, 'deal.on_hold') < .08 THEN 'on_hold'
        ELSE 'open'
    END,
    pg_temp.pick(pg_temp.dice(id, 'deal.priority'),
        ARRAY['medium', 'high', 'low', 'urgent', NULL], ARRAY[.44, .70, .87, .94]),
    stage,
    CASE WHEN pg_temp.dice(id, 'deal.has_probability') >= .06 THEN
        CASE stage
            WHEN 'closed_won' THEN 100
            WHEN 'closed_lost' THEN 0
            WHEN 'prospecting' THEN 10 + judged
            WHEN 'qualification' THEN 25 + judged
            WHEN 'proposal' THEN 50 + judged
            ELSE 75 + judged
        END::numeric(5, 2)
    END,
    CASE WHEN pg_temp.dice(id, 'deal.has_amount') >= .06
        THEN (CASE WHEN pg_temp.dice(id, 'deal.round_amount') < .6
            THEN round(amount / 500) * 500 ELSE amount END)::numeric(18, 2) END,
    pg_temp.pick(pg_temp.dice(id, 'deal.currency'),
        ARRAY['USD', 'EUR', 'GBP', 'JPY', NULL], ARRAY[.60, .85, .94, .97]),
    CASE WHEN pg_temp.dice(id, 'deal.has_close_date') >= .07
        THEN (created_at AT TIME ZONE 'UTC')::date
            + 7 + floor(240 * pg_temp.skew(id, 'deal.close_date'))::int END,
    created_at, updated_at,
    CASE WHEN pg_temp.dice(id, 'deal.is_deleted') < .04 THEN pg_temp.later(
        coalesce(updated_at, created_at), id, 'deal.deleted_at', %(as_of)s) END
FROM (
    SELECT id, account_id, company_id, first_user, users, created_at,
        400e3 * pg_temp.skew(id, 'deal.amount') * pg_temp.skew(id, 'deal.amount') AS amount,
        CASE WHEN pg_temp.dice(id, 'deal.is_judged') < .40
            THEN floor(40 * pg_temp.dice(id, 'deal.judged')) / 2 ELSE 0 END AS judged,
        pg_temp.pick(pg_temp.dice(id, 'deal.stage'),
            ARRAY['closed_won', 'prospecting', 'closed_lost', 'qualification', 'proposal',
                'negotiation', NULL],
            ARRAY[.28, .48, .66, .80, .90, .96]) AS stage,
        CASE WHEN pg_temp.dice(id, 'deal.is_updated') < .90
            THEN pg_temp.later(created_at, id, 'deal.updated_at', %(as_of)s) END AS updated_at
    FROM (
        SELECT deal.id, tenant.id AS company_id, first_user, users,
            pg_temp.account_of('deal', deal.id, %(accounts)s) AS account_id,
            pg_temp.created(deal.id, %(deals)s, 'deal.created_at', %(as_of)s) AS created_at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS deal (id)
        JOIN pg_temp.tenant
            ON tenant.id = pg_temp.company_of('deal', deal.id, %(accounts)s, %(shares)s)
        OFFSET 0
    ) AS dated
) AS drawn;

-- name: sharing_rule
-- Each rule takes one of a few predicates, which use every operator, and a grantee of its company.
INSERT INTO crm.sharing_rule (
    id, company_id, entity, name, predicate, grantee_type, grantee_id, level, is_active, created_at,
    updated_at)
WITH template (number, entity, name, predicate) AS (VALUES
    (0, 'lead', 'New leads from web and events', jsonb
        '{"and": [{"eq": ["status", "new"]}, {"in": ["source", ["web", "event"]]}]}'),
    (1, 'lead', 'Hot leads', '{"ge": ["score", 75]}'),
    (2, 'lead', 'Leads to look at again',
        '{"or": [{"lt": ["score", 25.5]}, {"is_null": ["score"]}, {"is_null": ["owner_id"]}]}'),
    (3, 'lead', 'Leads of the R&D and energy industries',
        '{"in": ["industry", ["R&D", "energy"]]}'),
    (4, 'lead', 'Leads not yet closed',
        '{"not": {"in": ["status", ["converted", "unqualified"]]}}'),
    (5, 'lead', 'Leads of cafés', '{"contains": ["company_name", "Café"]}'),
    (6, 'deal', 'Large open deals',
        '{"and": [{"gt": ["amount", 100000]}, {"eq": ["status", "open"]}]}'),
    (7, 'deal', 'Deals before negotiation', '{"le": ["probability", 50]}'),
    (8, 'deal', 'Deals not lost', '{"ne": ["stage", "closed_lost"]}'),
    (9, 'deal', 'Urgent deals outside the euro',
        '{"and": [{"ne": ["currency", "EUR"]}, {"in": ["priority", ["high", "urgent"]]}]}'),
    (10, 'account', 'Customers', '{"eq": ["type", "customer"]}'),
    (11, 'account', 'Large accounts',
        '{"or": [{"ge": ["annual_revenue", 10000000]}, {"eq": ["priority", "urgent"]}]}'),
    (12, 'account', 'Accounts without an industry', '{"is_null": ["industry"]}'),
    (13, 'contact', 'Decision makers',
        '{"and": [{"eq": ["role", "decision_maker"]}, {"not": {"eq": ["status", "bounced"]}}]}'),
    (14, 'contact', 'Contacts in finance and law', '{"in": ["department", ["finance", "legal"]]}')
), rule AS (
    SELECT tenant.*, first_rule + n - 1 AS rule_id
    FROM pg_temp.tenant, generate_series(1, tenant.rules) AS n
    WHERE tenant.id BETWEEN %(first)s AND %(last)s
), drawn AS (
    SELECT rule.*,
        floor((SELECT count(*) FROM template) * pg_temp.dice(rule_id, 'sharing_rule.predicate'))
            AS number,
        pg_temp.pick(pg_temp.dice(rule_id, 'sharing_rule.grantee_type'),
            ARRAY['role_and_subordinates', 'team', 'role', 'user', 'everyone'],
            ARRAY[.30, .55, .75, .90]) AS grantee_type,
        pg_temp.later(pg_temp.opening(%(as_of)s), rule_id, 'sharing_rule.created_at', %(as_of)s)
            AS created_at
    FROM rule
)
SELECT rule_id, id, entity, name, predicate, grantee_type,
    CASE grantee_type
        WHEN 'team' THEN pg_temp.one_in(first_team, teams, rule_id, 'sharing_rule.grantee_id')
        WHEN 'user' THEN pg_temp.one_in(first_user, users, rule_id, 'sharing_rule.grantee_id')
        WHEN 'everyone' THEN NULL
        ELSE pg_temp.one_in(first_role, roles, rule_id, 'sharing_rule.grantee_id')
    END,
    pg_temp.pick(pg_temp.dice(rule_id, 'sharing_rule.level'),
        ARRAY['read_only', 'read_write'], ARRAY[.70]),
    pg_temp.dice(rule_id, 'sharing_rule.is_active') >= .15,
    created_at,
    CASE WHEN pg_temp.dice(rule_id, 'sharing_rule.is_updated') < .50
        THEN pg_temp.later(created_at, rule_id, 'sharing_rule.updated_at', %(as_of)s) END
FROM drawn JOIN template USING (number);

-- name: record_share
-- Each shared record is another one, and is shared with one to three users of its company.
INSERT INTO crm.record_share (id, company_id, entity, record_id, user_id, level, created_at)
SELECT 3 * (number - 1) + n, tenant.id, entity, record_id,
    first_user
        + mod(floor(users * pg_temp.dice(number, 'record_share.user_id'))::bigint + n, users),
    pg_temp.pick(pg_temp.dice(3 * (number - 1) + n, 'record_share.level'),
        ARRAY['read_only', 'read_write'], ARRAY[.75]),
    pg_temp.later(pg_temp.created(record_id, records, entity || '.created_at', %(as_of)s),
        number, 'record_share.created_at', %(as_of)s)
FROM (
    SELECT number, entity, records,
        1 + floor(records * (number - 1 + pg_temp.dice(number, 'record_share.record_id'))
            / %(shared)s)::bigint AS record_id
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
    JOIN (VALUES
        (0, 'account', %(accounts)s::bigint), (1, 'contact', %(contacts)s), (2, 'lead', %(leads)s),
        (3, 'deal', %(deals)s)
    ) AS kind (place, entity, records) ON kind.place = mod(number, 4)
    OFFSET 0
) AS shared
JOIN pg_temp.tenant
    ON tenant.id = pg_temp.company_of(entity, record_id, %(accounts)s, %(shares)s)
CROSS JOIN LATERAL generate_series(
    1, 1 + width_bucket(pg_temp.dice(number, 'record_share.users'), ARRAY[.60, .85])) AS n;

-- name: audit_log
-- What happened to records that were there at the time, and failed logins, which have no company.
-- One row in 200 comes from a clock that runs ahead: its month has no partition.
INSERT INTO crm.audit_log (
    id, company_id, user_id, action, entity, record_id, changes, ip, created_at)
SELECT entry.id, tenant.id,
    CASE WHEN pg_temp.dice(entry.id, 'audit_log.has_user') >= .05
        THEN pg_temp.one_in(first_user, users, entry.id, 'audit_log.user_id') END,
    action, coalesce(entity, 'session'), record_id,
    CASE WHEN action = 'update' THEN (ARRAY[
        jsonb '{"status": ["new", "contacted"]}', '{"priority": ["low", "high"]}',
        '{"owner_id": [null, 1]}', '{"name": ["Cafe", "Café"]}',
        '{"status": ["open", "won"], "probability": [75, 100]}'
    ])[1 + floor(5 * pg_temp.skew(entry.id, 'audit_log.changes'))::int] END,
    CASE WHEN pg_temp.dice(entry.id, 'audit_log.has_ip') >= .10
        THEN CASE WHEN pg_temp.dice(entry.id, 'audit_log.ip_version') < .15
            THEN inet '2001:db8::' ELSE inet '10.0.0.0' END
            + floor(16777216 * pg_temp.dice(entry.id, 'audit_log.ip'))::bigint END,
    created_at
FROM (
    SELECT id, created_at, entity,
        CASE WHEN entity IS NULL THEN 'login_failed' ELSE pg_temp.pick(
            pg_temp.dice(id, 'audit_log.action'), ARRAY['update', 'view', 'create', 'delete'],
            ARRAY[.50, .80, .95]) END AS action,
        1 + floor(records * pg_temp.existing(created_at, %(as_of)s)
            * pg_temp.dice(id, 'audit_log.record_id'))::bigint AS record_id
    FROM (
        SELECT id,
            width_bucket(pg_temp.dice(id, 'audit_log.entity'), ARRAY[.15, .35, .70, .98]) AS place,
            CASE WHEN pg_temp.dice(id, 'audit_log.is_ahead') < .005
                THEN pg_temp.midnight(%(next_month)s)
                    + interval '9 days' * pg_temp.dice(id, 'audit_log.created_at')
                ELSE pg_temp.midnight(%(first_month)s)
                    + (pg_temp.midnight(%(as_of)s) - pg_temp.midnight(%(first_month)s))
                    * (0.99 * sqrt((id - 1)::float8 / %(audit_rows)s)
                        + 0.01 * pg_temp.dice(id, 'audit_log.created_at'))
            END AS created_at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS id
    ) AS dated
    LEFT JOIN (VALUES
        (0, 'account', %(accounts)s::bigint), (1, 'contact', %(contacts)s), (2, 'lead', %(leads)s),
        (3, 'deal', %(deals)s)
    ) AS kind (place, entity, records) USING (place)
    OFFSET 0
) AS entry
LEFT JOIN pg_temp.tenant
    ON tenant.id = pg_temp.company_of(entity, record_id, %(accounts)s, %(shares)s);
