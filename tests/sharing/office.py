"""A CRM with users, roles, teams, rules and shares, and what plain Python says of who sees what.

Nothing here shares code with the library: its decisions are compared with these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.catalog.catalog import Catalog

_DDL = """
CREATE SCHEMA office;
CREATE TYPE office.stage AS ENUM ('lost', 'new', 'won');
CREATE TABLE office.company (id bigint PRIMARY KEY, default_access text);
CREATE TABLE office.role (id bigint PRIMARY KEY, company_id bigint, parent_id bigint);
CREATE TABLE office."user" (
    id bigint PRIMARY KEY, company_id bigint, role_id bigint, is_active boolean, last_login text);
CREATE TABLE office.member (team_id bigint NOT NULL, user_id bigint NOT NULL);
CREATE TABLE office.rule (
    id bigint PRIMARY KEY, company_id bigint, entity text, predicate jsonb, grantee_type text,
    grantee_id bigint, level text, is_active boolean);
CREATE TABLE office.share (entity text, record_id bigint, user_id bigint, level text);
CREATE TABLE office.lead (
    id bigint PRIMARY KEY, company_id bigint, owner_id bigint, "100%% text" text,
    stage office.stage, size integer, amount numeric, hot boolean, born date,
    seen timestamptz, ref uuid,
    deleted_at timestamptz);
"""

_JOB = {"schedule": "0 3 * * *", "deadline_minutes": 30, "timeout_minutes": 60}
_JOBS = ("precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches")

COLUMNS = ("100% text", "stage", "size", "amount", "hot", "born", "seen", "ref")
READ, WRITE = "read_only", "read_write"
# A decimal is a number in JSON, not a text.
_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass
class Office:
    """Rows as tuples, in the order of the columns above."""

    companies: list[tuple[int, str | None]] = field(default_factory=list)
    roles: list[tuple[int, int, int | None]] = field(default_factory=list)
    users: list[tuple[int, int, int | None, bool]] = field(default_factory=list)
    members: list[tuple[int, int]] = field(default_factory=list)
    rules: list[tuple[Any, ...]] = field(default_factory=list)
    shares: list[tuple[int, int, str]] = field(default_factory=list)
    leads: list[tuple[Any, ...]] = field(default_factory=list)


def catalog() -> Catalog:
    """The catalog of the office."""
    return Catalog.model_validate(
        {
            "version": 1,
            "tenancy": {"mode": "column", "table": "office.company"},
            "entities": {
                "lead": {
                    "table": "office.lead",
                    "tenant": "company_id",
                    "owner": "owner_id",
                    "where": {"deleted_at": None},
                }
            },
            "sharing": {
                "rules": {"table": "office.rule"},
                "users": {"table": "office.user", "role": "role_id", "active": "is_active"},
                "roles": {"table": "office.role"},
                "members": {"table": "office.member"},
                "shares": {"table": "office.share"},
                "tenant_default": {"table": "office.company"},
            },
            "jobs": {name: {**_JOB, "pool": "workflow_io"} for name in _JOBS},
        }
    )


def create(engine: sa.Engine) -> None:
    """Its tables, empty."""
    with databases.transaction(engine) as connection:
        for statement in _DDL.strip().split(";\n"):
            sql.run(connection, statement)


def fill(engine: sa.Engine, office: Office) -> None:
    """The rows of `office` in place of what is there."""
    tables: dict[str, list[tuple[Any, ...]]] = {
        "company": list(office.companies),
        "role": list(office.roles),
        '"user"': list(office.users),
        "member": list(office.members),
        "rule": [(*row[:3], _JSON.encode(row[3]).decode(), *row[4:]) for row in office.rules],
        "share": [("lead", *row) for row in office.shares],
        "lead": list(office.leads),
    }
    with databases.transaction(engine) as connection:
        for name, rows in tables.items():
            sql.run(connection, f"DELETE FROM office.{name}")
            for row in rows:
                values = {f"v{at}": value for at, value in enumerate(row)}
                placed = ", ".join(f"%({key})s" for key in values)
                sql.run(connection, f"INSERT INTO office.{name} VALUES ({placed})", values)


def level(office: Office, company: int, user: int, lead: int) -> str | None:
    """What a user of a company may do with a lead: by the book, slowly."""
    people = {row[0]: row for row in office.users if row[1] == company}
    record = next((r for r in office.leads if r[0] == lead and r[1] == company and not r[-1]), None)
    if user not in people or not people[user][3] or record is None:
        return None
    role = people[user][2]
    parents = {row[0]: row[2] for row in office.roles if row[1] == company}
    found = {
        "public_read": [READ],
        "public_read_write": [WRITE],
    }.get(dict(office.companies).get(company) or "", [])
    owner = record[2]
    if owner == user or (
        owner in people and role is not None and role in _above(people[owner][2], parents)
    ):
        found.append(WRITE)
    found += [s[2] for s in office.shares if s[0] == lead and s[1] == user]
    teams = {team for team, member in office.members if member == user}
    for _, of, entity, predicate, kind, grantee, rule_level, active in office.rules:
        concerned = {
            "everyone": True,
            "user": grantee == user,
            "team": grantee in teams,
            "role": role is not None and grantee == role,
            "role_and_subordinates": role is not None
            and (grantee == role or grantee in _above(role, parents)),
        }[kind]
        if of == company and entity == "lead" and active and concerned:
            cells = dict(zip(COLUMNS, record[3:-1], strict=True))
            if _matches(predicate, cells) is True:
                found.append(rule_level)
    return WRITE if WRITE in found else READ if READ in found else None


def _above(role: int | None, parents: dict[int, int | None]) -> set[int]:
    found: set[int] = set()
    if role not in parents:
        return found
    at = parents[role]
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return found - {role}


def _matches(predicate: dict[str, Any], cells: dict[str, Any]) -> bool | None:
    [(operator, operand)] = predicate.items()
    if operator == "not":
        found = _matches(operand, cells)
        return None if found is None else not found
    if operator in ("and", "or"):
        results = [_matches(part, cells) for part in operand]
        decisive = operator == "or"
        if decisive in results:
            return decisive
        return None if None in results else not decisive
    cell = cells[operand[0]]
    if operator == "is_null":
        return cell is None
    if cell is None:
        return None
    if operator == "in":
        return any(_compare("eq", cell, value) for value in operand[1])
    return _compare(operator, cell, operand[1])


def _compare(operator: str, cell: Any, value: Any) -> bool:
    if operator == "contains":
        return str(value) in cell
    if isinstance(cell, Decimal) and cell.is_nan():
        return operator in ("ne", "gt", "ge")
    match cell:
        case datetime():
            value = datetime.fromisoformat(value).astimezone(UTC)
        case date():
            value = date.fromisoformat(value)
        case UUID():
            value = UUID(value)
        case int() | Decimal() if not isinstance(cell, bool):
            value = Decimal(str(value))
        case str():
            cell, value = [ord(c) for c in cell], [ord(c) for c in value]
    if operator in ("eq", "ne"):
        return bool((cell == value) is (operator == "eq"))
    return bool(
        {"lt": cell < value, "le": cell <= value, "gt": cell > value, "ge": cell >= value}[operator]
    )
