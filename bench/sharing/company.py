"""The company that is asked about, and how a CRM connects to its servers."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import install

LEADS = 200_000
USERS = 400
JOB = {"schedule": "0 3 * * *", "deadline_minutes": 30, "timeout_minutes": 60}
JOBS = ("precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches")

_DDL = """
DROP SCHEMA IF EXISTS bench_sharing CASCADE;
CREATE SCHEMA bench_sharing;
CREATE TABLE bench_sharing.company (id bigint PRIMARY KEY, default_access text);
CREATE TABLE bench_sharing.role (id bigint PRIMARY KEY, company_id bigint, parent_id bigint);
CREATE TABLE bench_sharing.app_user (
    id bigint PRIMARY KEY, company_id bigint, role_id bigint, is_active boolean);
CREATE TABLE bench_sharing.team_member (
    team_id bigint, user_id bigint, PRIMARY KEY (team_id, user_id));
CREATE TABLE bench_sharing.sharing_rule (
    id bigint PRIMARY KEY, company_id bigint, entity text, predicate jsonb, grantee_type text,
    grantee_id bigint, level text, is_active boolean);
CREATE TABLE bench_sharing.record_share (
    entity text, record_id bigint, user_id bigint, level text,
    PRIMARY KEY (entity, record_id, user_id));
CREATE TABLE bench_sharing.lead (
    id bigint PRIMARY KEY, company_id bigint, owner_id bigint, status text, source text,
    score numeric(6, 2), created_at timestamptz, deleted_at timestamptz);
INSERT INTO bench_sharing.company VALUES (1, 'private');
INSERT INTO bench_sharing.role SELECT n, 1, CASE WHEN n > 1 THEN n / 2 END
    FROM generate_series(1, 63) AS n;
INSERT INTO bench_sharing.app_user SELECT n, 1, 1 + n %% 63, true
    FROM generate_series(1, 400) AS n;
INSERT INTO bench_sharing.team_member SELECT n %% 20, n FROM generate_series(1, 400) AS n;
INSERT INTO bench_sharing.lead SELECT n, 1, 1 + n %% 400, 's' || n %% 50, 'web', n %% 100,
    '2026-01-01', NULL FROM generate_series(1, 200000) AS n;
INSERT INTO bench_sharing.record_share SELECT 'lead', n * 20, 1 + n %% 400, 'read_only'
    FROM generate_series(1, 10000) AS n;
CREATE INDEX ON bench_sharing.app_user (company_id);
CREATE INDEX ON bench_sharing.role (company_id);
CREATE INDEX ON bench_sharing.team_member (user_id);
CREATE INDEX ON bench_sharing.sharing_rule (company_id, entity);
CREATE INDEX ON bench_sharing.record_share (user_id, entity);
CREATE INDEX ON bench_sharing.lead (company_id, owner_id);
ANALYZE
"""


@dataclass(frozen=True)
class Place:
    """Where PostgreSQL and Redis are reached."""

    database_url: str
    redis_url: str

    def engine(self) -> sa.Engine:
        """An engine with the driver's own settings: what is asked often is prepared."""
        url = sa.make_url(self.database_url).set(drivername="postgresql+psycopg")
        return sa.create_engine(url, isolation_level="AUTOCOMMIT")


def catalog(schema: str = "bench_sharing") -> Catalog:
    """The catalog of the company."""
    return Catalog.model_validate(
        {
            "version": 1,
            "tenancy": {"mode": "column", "table": f"{schema}.company"},
            "entities": {
                name: {
                    "table": f"{schema}.lead",
                    "tenant": "company_id",
                    "owner": "owner_id",
                    "where": {"deleted_at": None},
                }
                for name in ("lead", "deal", "account", "contact", "case")
            },
            "sharing": {
                "rules": {"table": f"{schema}.sharing_rule"},
                "users": {"table": f"{schema}.app_user", "role": "role_id", "active": "is_active"},
                "roles": {"table": f"{schema}.role"},
                "members": {"table": f"{schema}.team_member"},
                "shares": {"table": f"{schema}.record_share"},
                "tenant_default": {"table": f"{schema}.company"},
            },
            "jobs": {name: {**JOB, "pool": "workflow_io"} for name in JOBS},
        }
    )


def prepare(engine: sa.Engine) -> None:
    """Make the company, with the triggers installed."""
    with database.transaction(engine) as connection:
        for statement in _DDL.strip().split(";\n"):
            sql.run(connection, statement)
    install.apply(engine, catalog())


def set_rules(engine: sa.Engine, count: int) -> None:
    """Give the company so many rules, for roles, teams, users and everyone."""
    with database.transaction(engine) as connection:
        sql.run(connection, "DELETE FROM bench_sharing.sharing_rule")
        for key in range(count):
            kind = ("role_and_subordinates", "team", "user", "role", "team")[key % 5]
            predicate = {
                "and": [
                    {"in": ["status", [f"s{key % 50}", f"s{(key + 7) % 50}"]]},
                    {"ge": ["score", key % 90]},
                ]
            }
            sql.run(
                connection,
                "INSERT INTO bench_sharing.sharing_rule VALUES"
                " (%(id)s, 1, 'lead', %(p)s, %(kind)s, %(to)s, 'read_only', true)",
                id=key,
                p=json.dumps(predicate),
                kind=kind,
                to=1 + key % 20,
            )


def questions(seed: int, count: int) -> list[tuple[int, int]]:
    """Users and leads, the same for the same seed; no user twice while there are others."""
    drawn = random.Random(seed)
    users = drawn.sample(range(1, USERS + 1), USERS)
    return [(users[at % USERS], drawn.randint(1, LEADS)) for at in range(count)]
