"""Decides by plain SQL, and by the old way: the same, with the rules from Redis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bench.sharing.rules import concerns, matches
from crm_ops.base import sql, store

RULES = (
    "SELECT predicate, grantee_type, grantee_id FROM bench_sharing.sharing_rule"
    " WHERE company_id = %(company)s AND entity = %(entity)s AND is_active"
)
_LEAD = "SELECT * FROM bench_sharing.lead WHERE id = %(lead)s AND deleted_at IS NULL"
_PERSON = "SELECT role_id, is_active FROM bench_sharing.app_user WHERE id = %(user)s"
_TEAMS = "SELECT team_id FROM bench_sharing.team_member WHERE user_id = %(user)s"
_SHARE = (
    "SELECT level FROM bench_sharing.record_share"
    " WHERE entity = 'lead' AND record_id = %(lead)s AND user_id = %(user)s"
)
_CHAIN = """
WITH RECURSIVE up AS (
    SELECT id, parent_id FROM bench_sharing.role WHERE id = %(role)s
    UNION SELECT r.id, r.parent_id FROM bench_sharing.role AS r JOIN up ON r.id = up.parent_id)
SELECT id FROM up"""
_OLD = "old:" + hashlib.md5(b"rules:1:lead").hexdigest()


@dataclass(frozen=True)
class Person:
    """A user, the roles from theirs up, and the rules that concern them."""

    user: int
    role: int
    rules: Sequence[Mapping[str, Any]]


def rules(connection: sa.Connection) -> list[list[Any]]:
    """The company's rules for leads, from PostgreSQL."""
    return [list(row) for row in sql.run(connection, RULES, company=1, entity="lead")]


def old_rules(connection: sa.Connection, redis: store.Client) -> list[list[Any]]:
    """The same from Redis; what is not there is read and kept for an hour."""
    value = redis.get(_OLD)
    if value is not None:
        found: list[list[Any]] = json.loads(value)
        return found
    found = rules(connection)
    redis.set(_OLD, json.dumps(found), ex=3600)
    return found


def forget(redis: store.Client) -> None:
    """Let the next one miss."""
    redis.delete(_OLD)


def person(connection: sa.Connection, user: int, known: Sequence[Sequence[Any]]) -> Person | None:
    """What decides for a user who may work: three queries."""
    row = sql.run(connection, _PERSON, user=user).first()
    if row is None or not row.is_active:
        return None
    mine = set(sql.run(connection, _CHAIN, role=row.role_id).scalars())
    teams = set(sql.run(connection, _TEAMS, user=user).scalars())
    concerned = [
        predicate
        for predicate, kind, grantee in known
        if concerns(kind, grantee, user, row.role_id, mine, teams)
    ]
    return Person(user, row.role_id, concerned)


def may(connection: sa.Connection, user: int, lead: int, known: Sequence[Sequence[Any]]) -> bool:
    """Six queries beside the rules'."""
    record = sql.run(connection, _LEAD, lead=lead).first()
    asked = person(connection, user, known)
    if record is None or asked is None:
        return False
    if record.owner_id == user:
        return True
    if sql.run(connection, _SHARE, lead=lead, user=user).first() is not None:
        return True
    owner = sql.run(connection, _PERSON, user=record.owner_id).first()
    if owner is not None and owner.role_id != asked.role:
        above = set(sql.run(connection, _CHAIN, role=owner.role_id).scalars())
        if asked.role in above:
            return True
    cells = {"status": record.status, "score": record.score}
    return any(matches(predicate, cells) for predicate in asked.rules)


__all__ = ["Person", "forget", "may", "old_rules", "person", "rules"]
