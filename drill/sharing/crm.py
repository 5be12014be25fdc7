"""The CRM of the drill: for each user and lead of it one way alone opens the lead to the user."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.schema import migrate
from crm_ops.sharing import install

TENANTS = 4
JOB = {"schedule": "0 3 * * *", "deadline_minutes": 30, "timeout_minutes": 60}
JOBS = ("precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches")

TABLES = """
CREATE SCHEMA crm;
CREATE TABLE crm.company (id bigint PRIMARY KEY, default_access text NOT NULL DEFAULT 'private');
CREATE TABLE crm.role (id bigint PRIMARY KEY, company_id bigint, parent_id bigint);
CREATE TABLE crm.app_user (
    id bigint PRIMARY KEY, company_id bigint, role_id bigint, on_duty boolean);
CREATE TABLE crm.team_member (team_id bigint, user_id bigint, PRIMARY KEY (team_id, user_id));
CREATE TABLE crm.sharing_rule (
    id bigint PRIMARY KEY, company_id bigint, entity text, predicate jsonb, grantee_type text,
    grantee_id bigint, level text, is_active boolean);
CREATE TABLE crm.record_share (entity text, record_id bigint, user_id bigint, level text);
CREATE TABLE crm.lead (id bigint PRIMARY KEY, company_id bigint, owner_id bigint, status text);
CREATE INDEX ON crm.sharing_rule (company_id);
CREATE INDEX ON crm.app_user (company_id);
CREATE INDEX ON crm.role (company_id);
CREATE INDEX ON crm.team_member (user_id)
"""

# For each way of granting: what grants it to user U of company C on lead L, and what takes it away.
# Rule L is for lead L alone, team L is of user U alone, and so on: no way helps another.
WAYS: dict[str, tuple[str, str]] = {
    "rule switched on and off": (
        "UPDATE crm.sharing_rule SET is_active = true WHERE id = {L}",
        "UPDATE crm.sharing_rule SET is_active = false WHERE id = {L}",
    ),
    "rule made and deleted": (
        "INSERT INTO crm.sharing_rule SELECT {L}, {C}, 'lead',"
        """ '{{"eq": ["status", "s{L}"]}}', 'user', {U}, 'read_only', true""",
        "DELETE FROM crm.sharing_rule WHERE id = {L}",
    ),
    "predicate changed": (
        """UPDATE crm.sharing_rule SET predicate = '{{"eq": ["status", "s{L}"]}}' WHERE id = {L}""",
        """UPDATE crm.sharing_rule SET predicate = '{{"eq": ["status", "-"]}}' WHERE id = {L}""",
    ),
    "member of a team": (
        "INSERT INTO crm.team_member VALUES ({L}, {U})",
        "DELETE FROM crm.team_member WHERE team_id = {L}",
    ),
    "role of the user": (
        "UPDATE crm.app_user SET role_id = {L} WHERE id = {U}",
        "UPDATE crm.app_user SET role_id = NULL WHERE id = {U}",
    ),
    "role above the owner's": (
        "UPDATE crm.role SET parent_id = {L} WHERE id = {L} + 500000",
        "UPDATE crm.role SET parent_id = NULL WHERE id = {L} + 500000",
    ),
    "record shared": (
        "INSERT INTO crm.record_share VALUES ('lead', {L}, {U}, 'read_only')",
        "DELETE FROM crm.record_share WHERE record_id = {L}",
    ),
    "tenant's default": (
        "UPDATE crm.company SET default_access = 'public_read' WHERE id = {C}",
        "UPDATE crm.company SET default_access = 'private' WHERE id = {C}",
    ),
}


@dataclass(frozen=True)
class Pair:
    """A user and a lead that one way alone opens to them."""

    number: int
    way: str
    company: int
    user: int
    lead: int

    def fill(self, text: str) -> str:
        return text.format(L=self.lead, U=self.user, C=self.company)


def pairs() -> list[Pair]:
    found: list[Pair] = []
    for tenant in range(1, TENANTS + 1):
        for at, way in enumerate(WAYS):
            number = len(found)
            # A default opens the whole tenant: it has one of its own.
            company = tenant + 100 if way == "tenant's default" else tenant
            found.append(Pair(number, way, company, 1000 * tenant + at, 1000 * tenant + at))
    return found


def catalog() -> Catalog:
    return Catalog.model_validate(
        {
            "version": 1,
            "tenancy": {"mode": "column", "table": "crm.company"},
            "entities": {
                "lead": {"table": "crm.lead", "tenant": "company_id", "owner": "owner_id"}
            },
            "sharing": {
                "rules": {"table": "crm.sharing_rule"},
                "users": {"table": "crm.app_user", "role": "role_id", "active": "on_duty"},
                "roles": {"table": "crm.role"},
                "members": {"table": "crm.team_member"},
                "shares": {"table": "crm.record_share"},
                "tenant_default": {"table": "crm.company"},
            },
            "jobs": {name: {**JOB, "pool": "workflow_io"} for name in JOBS},
        }
    )


def fill(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        for statement in TABLES.strip().split(";\n"):
            sql.run(connection, statement)
        for company in range(1, TENANTS + 1):
            sql.run(connection, f"INSERT INTO crm.company VALUES ({company}), ({company + 100})")
        for pair in pairs():
            _seed(connection, pair)
    migrate.upgrade(engine)
    install.apply(engine, catalog())


def _seed(connection: sa.Connection, pair: Pair) -> None:
    user, lead, company = pair.user, pair.lead, pair.company
    owner = "NULL"
    sql.run(connection, f"INSERT INTO crm.app_user VALUES ({user}, {company}, NULL, true)")
    if pair.way == "role above the owner's":
        owner = str(lead + 500_000)
        sql.run(connection, f"INSERT INTO crm.role VALUES ({lead}, {company}, NULL)")
        sql.run(connection, f"INSERT INTO crm.role VALUES ({lead + 500_000}, {company}, NULL)")
        sql.run(
            connection,
            f"INSERT INTO crm.app_user VALUES ({owner}, {company}, {lead + 500_000}, true)",
        )
        sql.run(connection, f"UPDATE crm.app_user SET role_id = {lead} WHERE id = {user}")
    sql.run(connection, f"INSERT INTO crm.lead VALUES ({lead}, {company}, {owner}, 's{lead}')")
    grantee = {
        "rule switched on and off": ("user", user, "false"),
        "predicate changed": ("user", user, "true"),
        "member of a team": ("team", lead, "true"),
        "role of the user": ("role", lead, "true"),
    }.get(pair.way)
    if grantee is not None:
        status = "-" if pair.way == "predicate changed" else f"s{lead}"
        sql.run(
            connection,
            f"INSERT INTO crm.sharing_rule VALUES ({lead}, {company}, 'lead', %(p)s, %(kind)s,"
            f" {grantee[1]}, 'read_only', {grantee[2]})",
            p=json.dumps({"eq": ["status", status]}),
            kind=grantee[0],
        )
