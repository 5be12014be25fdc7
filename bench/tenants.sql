-- name: role
-- A tree of roles, the same for each company; written once.
INSERT INTO crm.role (id, company_id, name, parent_id)
SELECT company.id * 100 + n, company.id, 'Role ' || n,
    CASE WHEN n > 1 THEN company.id * 100 + n / 2 END
FROM crm.company, generate_series(1, %(roles)s) AS n;

-- name: app_user
-- Each user's role; the first user has the first role. Writing it twice does no harm.
UPDATE crm.app_user SET role_id = company_id * 100 + 1 + mod(mod(id, %(users)s), %(roles)s);

-- name: team_member
-- Each user is in one of the teams; written once.
INSERT INTO crm.team_member (team_id, user_id)
SELECT company_id * 100 + mod(id, %(teams)s), id FROM crm.app_user;

-- name: sharing_rule
-- Rules for teams and roles whose lines are those of buckets, and one, for a user, within a bucket;
-- written once.
INSERT INTO crm.sharing_rule
    (company_id, entity, name, predicate, grantee_type, grantee_id, level)
SELECT company.id, 'lead', rule.name, rule.predicate, grantee_type,
    CASE grantee_type WHEN 'user' THEN company.id * %(users)s ELSE company.id * 100 END + grantee,
    'read_only'
FROM crm.company, (VALUES
    ('New leads from web and events',
        jsonb '{"and": [{"eq": ["status", "new"]}, {"in": ["source", ["web", "event"]]}]}',
        'role_and_subordinates', 2),
    ('Hot leads', '{"ge": ["score", 75]}', 'team', 1),
    ('Leads of the energy industry', '{"eq": ["industry", "energy"]}', 'team', 2),
    ('Leads not yet closed', '{"not": {"in": ["status", ["converted", "unqualified"]]}}',
        'role', 3),
    ('New leads of nobody', '{"and": [{"is_null": ["owner_id"]}, {"eq": ["status", "new"]}]}',
        'role_and_subordinates', 1),
    ('Leads to look at again', '{"lt": ["score", 25.5]}', 'user', 299)
) AS rule (name, predicate, grantee_type, grantee);

-- name: record_share
-- Each user is given some leads of the company, any ones; written once.
INSERT INTO crm.record_share (company_id, entity, record_id, user_id, level)
SELECT company_id, 'lead', id, company_id * %(users)s + mod(at, %(users)s), 'read_only'
FROM (
    SELECT id, company_id, row_number() OVER (PARTITION BY company_id ORDER BY md5(id::text)) AS at
    FROM crm.lead WHERE deleted_at IS NULL
) AS numbered
WHERE at <= %(each)s * %(users)s;
