"""Decides by casbin: roles with a hierarchy, and a rule about the record's fields in each policy.

`g` joins a user to their role, teams and everyone; `below:R` is held by R and the roles under it.
`g2` joins an owner to the roles above theirs. What the record was shared for is read with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import casbin  # type: ignore[import-untyped]
import sqlalchemy as sa

from crm_ops.base import sql

_MODEL = """
[request_definition]
r = sub, role, obj
[policy_definition]
p = sub, rule
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj.mine || r.obj.shared || g2(r.obj.owner, r.role) || (g(r.sub, p.sub) && eval(p.rule))
"""
_RECORD = (
    "SELECT l.owner_id, l.status, l.score, s.user_id IS NOT NULL AS shared"
    " FROM bench_sharing.lead AS l LEFT JOIN bench_sharing.record_share AS s"
    " ON s.entity = 'lead' AND s.record_id = l.id AND s.user_id = %(user)s"
    " WHERE l.id = %(lead)s AND l.deleted_at IS NULL"
)


class Peer:
    """An enforcer, loaded once, as a process of a CRM keeps it."""

    def __init__(self, connection: sa.Connection) -> None:
        model = casbin.Model()
        model.load_model_from_text(_MODEL)
        self._enforcer = casbin.Enforcer(model)
        people = sql.run(connection, "SELECT id, role_id FROM bench_sharing.app_user").all()
        of_roles = sql.run(connection, "SELECT id, parent_id FROM bench_sharing.role")
        roles = {row.id: row.parent_id for row in of_roles}
        teams = sql.run(connection, "SELECT user_id, team_id FROM bench_sharing.team_member")
        rules = sql.run(
            connection,
            "SELECT id, predicate, grantee_type, grantee_id FROM bench_sharing.sharing_rule"
            " WHERE company_id = 1 AND entity = 'lead' AND is_active",
        )
        self._roles = {row.id: row.role_id for row in people}
        joined = [(f"role:{role}", f"below:{role}") for role in roles]
        joined += [(f"below:{role}", f"below:{up}") for role, up in roles.items() if up is not None]
        joined += [(f"user:{row.id}", f"role:{row.role_id}") for row in people]
        joined += [(f"user:{row.id}", "everyone") for row in people]
        joined += [(f"user:{row.user_id}", f"team:{row.team_id}") for row in teams]
        self._enforcer.add_named_grouping_policies("g", joined)
        owners = [(f"up:{role}", f"up:{up}") for role, up in roles.items() if up is not None]
        owners += [
            (f"user:{row.id}", f"up:{roles[row.role_id]}")
            for row in people
            if roles[row.role_id] is not None
        ]
        self._enforcer.add_named_grouping_policies("g2", owners)
        # Without a policy casbin does not look at the matcher.
        self._enforcer.add_policies([("nobody", "false"), *(_policy(row) for row in rules)])

    def may(self, connection: sa.Connection, user: int, lead: int) -> bool:
        """Reads the record with its share, then asks the enforcer."""
        row = sql.run(connection, _RECORD, user=user, lead=lead).mappings().first()
        return row is not None and self.of(user, dict(row))

    def of(self, user: int, record: Mapping[str, Any]) -> bool:
        """Whether a user may read a record that was read with its share."""
        seen = SimpleNamespace(
            mine=record["owner_id"] == user,
            shared=record["shared"],
            owner=f"user:{record['owner_id']}",
            status=record["status"],
            score=float(record["score"]),
        )
        role = f"up:{self._roles[user]}"
        return bool(self._enforcer.enforce(f"user:{user}", role, seen))

    def lookup(self, user: int) -> int:
        """How many rules concern a user."""
        return len(self._enforcer.get_implicit_permissions_for_user(f"user:{user}"))


def _policy(row: sa.Row[Any]) -> tuple[str, str]:
    values, bound = row.predicate["and"]
    tested = " || ".join(f"r.obj.status == '{value}'" for value in values["in"][1])
    kind = {"role_and_subordinates": "below"}.get(row.grantee_type, row.grantee_type)
    holder = kind if row.grantee_id is None else f"{kind}:{row.grantee_id}"
    return holder, f"({tested}) && r.obj.score >= {bound['ge'][1]}"


__all__ = ["Peer"]
