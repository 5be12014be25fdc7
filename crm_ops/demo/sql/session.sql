-- What the fills of rows.sql are written in: temporary, gone with the session that made it.

-- name: dice
-- A number in [0, 1) that depends on nothing but the row's id and the salt, "table.column".
CREATE FUNCTION pg_temp.dice(id bigint, salt text) RETURNS float8
    LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(id, hashtextextended(salt, 0)) & 9007199254740991)::float8
        / 9007199254740992;

-- name: skew
-- A number in [0, 1) that is small more often than not.
CREATE FUNCTION pg_temp.skew(id bigint, salt text) RETURNS float8
    LANGUAGE sql IMMUTABLE
    RETURN pg_temp.dice(id, salt) * pg_temp.dice(id, salt);

-- name: pick
-- The option whose part of [0, 1) holds `chance`; the edges are where the next option begins.
CREATE FUNCTION pg_temp.pick(chance float8, options text[], edges float8[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN options[1 + width_bucket(chance, edges)];

-- name: any_of
-- One of the options, each as likely as the others.
CREATE FUNCTION pg_temp.any_of(chance float8, options text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN options[1 + floor(chance * cardinality(options))::int];

-- name: one_in
-- A number from `first` on, out of `count` of them, the first ones more often than the last.
CREATE FUNCTION pg_temp.one_in(first bigint, count bigint, id bigint, salt text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN first + floor(count * pg_temp.skew(id, salt))::bigint;

-- name: midnight
-- The beginning of a day in UTC.
CREATE FUNCTION pg_temp.midnight(day date) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE
    RETURN day::timestamp AT TIME ZONE 'UTC';

-- name: opening
-- When the records begin: three years before `as_of`.
CREATE FUNCTION pg_temp.opening(as_of date) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE
    RETURN pg_temp.midnight((as_of - interval '3 years')::date);

-- name: created
-- When the record `id` of `total` was created: ids follow time, and every month brings more.
CREATE FUNCTION pg_temp.created(id bigint, total bigint, salt text, as_of date)
    RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN pg_temp.opening(as_of) + (pg_temp.midnight(as_of) - pg_temp.opening(as_of))
        * (0.99 * sqrt((id - 1)::float8 / total) + 0.01 * pg_temp.dice(id, salt));

-- name: existing
-- The share of all records that were there at a moment: the inverse of `created`.
CREATE FUNCTION pg_temp.existing(moment timestamptz, as_of date) RETURNS float8
    LANGUAGE sql IMMUTABLE
    RETURN greatest(0, least(1, (
        extract(epoch FROM moment - pg_temp.opening(as_of))::float8
        / extract(epoch FROM pg_temp.midnight(as_of) - pg_temp.opening(as_of))::float8
        - 0.01) / 0.99)) ^ 2;

-- name: later
-- A moment from `moment` on and before `as_of`, nearer to `moment`.
CREATE FUNCTION pg_temp.later(moment timestamptz, id bigint, salt text, as_of date)
    RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN moment + (pg_temp.midnight(as_of) - moment) * pg_temp.skew(id, salt);

-- name: account_of
-- The account of a contact or a deal.
CREATE FUNCTION pg_temp.account_of(entity text, id bigint, accounts bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN 1 + floor(accounts * pg_temp.dice(id, entity || '.account_id'))::bigint;

-- name: company_of
-- The company of a record: that of its account for a contact and a deal, else its own.
-- It follows from the id alone, so that shares and audit rows need not look their record up.
CREATE FUNCTION pg_temp.company_of(entity text, id bigint, accounts bigint, shares float8[])
    RETURNS bigint
    LANGUAGE sql IMMUTABLE
    RETURN width_bucket(
        CASE WHEN entity IN ('contact', 'deal')
            THEN pg_temp.dice(pg_temp.account_of(entity, id, accounts), 'account.company_id')
            ELSE pg_temp.dice(id, entity || '.company_id') END,
        shares);

-- name: first_name
CREATE FUNCTION pg_temp.first_name(id bigint, salt text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN pg_temp.any_of(pg_temp.dice(id, salt || '.first'), ARRAY[
        'Anna', 'Ben', 'Carla', 'David', 'Emma', 'Frank', 'Grace', 'Henry', 'Irene', 'Jack',
        'Kate', 'Leo', 'Maria', 'Noah', 'Olga', 'Paul', 'Rosa', 'Sam', 'Tina', 'Victor',
        'Zoë', 'José', 'Łukasz', 'Søren', 'Νίκος', 'Мария', '美咲', 'محمد']);

-- name: last_name
CREATE FUNCTION pg_temp.last_name(id bigint, salt text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN pg_temp.any_of(pg_temp.dice(id, salt || '.last'), ARRAY[
        'Adams', 'Baker', 'Clark', 'Davis', 'Evans', 'Fischer', 'Garcia', 'Hughes', 'Ivanova',
        'Jones', 'Khan', 'Lopez', 'Martin', 'Nguyen', 'Owens', 'Patel', 'Quinn', 'Rossi',
        'Smith', 'Taylor', 'Weber', 'Young', 'O''Brien', 'Núñez', 'Müller', 'Şahin', '佐藤']);

-- name: firm
CREATE FUNCTION pg_temp.firm(id bigint, salt text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN pg_temp.any_of(pg_temp.dice(id, salt || '.word'), ARRAY[
        'Acorn', 'Beacon', 'Cedar', 'Delta', 'Ember', 'Falcon', 'Granite', 'Harbor', 'Iris',
        'Juniper', 'Keystone', 'Lumen', 'Meridian', 'Nimbus', 'Orchard', 'Pioneer', 'Quartz',
        'Río', 'Summit', 'Tundra', 'Überland', 'Vertex', 'Willow', 'Żubr', '東京'])
        || ' ' || pg_temp.any_of(pg_temp.dice(id, salt || '.trade'), ARRAY[
        'Analytics', 'Café', 'Energy', 'Foods', 'Health', 'Logistics', 'Media', 'Robotics',
        'Software', 'Steel', 'Textiles', 'Travel'])
        || ' ' || pg_temp.any_of(pg_temp.dice(id, salt || '.form'), ARRAY[
        'Inc', 'Ltd', 'GmbH', 'S.A.', '& Co', 'AB']);

-- name: tenant
-- How much of the CRM each company has: the company with id n has 1/n of what the first one has.
-- Users, roles, teams, tags and rules of one company have consecutive ids from `first_...` on.
CREATE TEMPORARY TABLE tenant AS
WITH weighed AS (
    SELECT id, 1 / id::float8 / sum(1 / id::float8) OVER () AS share
    FROM generate_series(1, %(companies)s::bigint) AS id
), sized AS (
    SELECT id, share, greatest(5, round(%(users)s * share))::bigint AS users FROM weighed
), counted AS (
    SELECT id, share, users,
        least(40, 6 + users / 2) AS roles,
        greatest(2, users / 8) AS teams,
        least(30, 6 + users / 4) AS tags,
        least(40, 4 + users / 10) AS rules
    FROM sized
)
SELECT id, users, roles, teams, tags, rules,
    sum(share) OVER up_to - share AS share_from,
    (sum(users) OVER up_to)::bigint - users + 1 AS first_user,
    (sum(roles) OVER up_to)::bigint - roles + 1 AS first_role,
    (sum(teams) OVER up_to)::bigint - teams + 1 AS first_team,
    (sum(tags) OVER up_to)::bigint - tags + 1 AS first_tag,
    (sum(rules) OVER up_to)::bigint - rules + 1 AS first_rule
FROM counted
WINDOW up_to AS (ORDER BY id ROWS UNBOUNDED PRECEDING);

-- name: tenant_statistics
ANALYZE pg_temp.tenant;
