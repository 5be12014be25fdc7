"""The first page of what a user may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from bench.case import OURS, Case
from bench.sharing import company, orm, plain
from bench.sharing.company import Place
from bench.sharing.peer import Peer
from crm_ops.base import sql, store
from crm_ops.read.access import Access, User

SIZE = 50
USERS = 8
_PAGE = "SELECT r.id FROM bench_sharing.lead AS r WHERE {} ORDER BY r.id DESC LIMIT 50"
_BELOW = """
WITH RECURSIVE below AS (
    SELECT id FROM bench_sharing.role WHERE parent_id = %(role)s
    UNION SELECT r.id FROM bench_sharing.role AS r JOIN below ON r.parent_id = below.id)
SELECT u.id FROM bench_sharing.app_user AS u JOIN below ON u.role_id = below.id"""
_NEWEST = (
    "SELECT l.id, l.owner_id, l.status, l.score, s.user_id IS NOT NULL AS shared"
    " FROM bench_sharing.lead AS l LEFT JOIN bench_sharing.record_share AS s"
    " ON s.entity = 'lead' AND s.record_id = l.id AND s.user_id = %(user)s"
    " WHERE l.company_id = 1 AND l.deleted_at IS NULL AND l.id < %(last)s"
    " ORDER BY l.id DESC LIMIT 200"
)


def case(redis: store.Client, place: Place) -> Case:
    """The newest 50 leads that a user may see, of 200,000, with 40 rules."""
    connection = place.engine().connect()
    peer, access = Peer(connection), Access(connection, company.catalog())
    users = [user for user, _ in company.questions(7, USERS)]

    def ours(user: int) -> list[int]:
        return [
            row.id
            for row in access.rows(
                connection, User("1", str(user)), "lead", lambda v: _PAGE.format(v.condition)
            )
        ]

    ways: dict[str, Callable[[int], list[int]]] = {
        "ORM, filtered in the program": lambda user: orm.page(connection, user, SIZE),
        "plain SQL": lambda user: _plain(connection, user, plain.rules(connection)),
        "old way, hit": lambda user: _plain(connection, user, plain.old_rules(connection, redis)),
        "casbin, filtered in the program": lambda user: _filtered(connection, peer, user),
        OURS: ours,
    }
    found = {name: [way(user) for user in users] for name, way in ways.items()}
    assert all(each == found[OURS] for each in found.values()), "the ways disagree"

    def floor() -> None:
        for _ in users:
            sql.run(connection, _PAGE.format("deleted_at IS NULL")).all()

    return Case(
        "the newest 50 leads that a user may see",
        f"{len(users)} users, 40 rules; who filters in the program reads 200 leads at a time",
        {
            **{name: partial(_each, way, users) for name, way in ways.items()},
            "floor (any 50)": floor,
        },
    )


def _each(way: Callable[[int], list[int]], users: Sequence[int]) -> None:
    for user in users:
        way(user)


def _plain(connection: sa.Connection, user: int, known: Sequence[Sequence[Any]]) -> list[int]:
    """The rules as a condition of SQL, made anew for each page."""
    asked = plain.person(connection, user, known)
    if asked is None:
        return []
    owners = [user, *sql.run(connection, _BELOW, role=asked.role).scalars()]
    shared = (
        "r.id IN (SELECT record_id FROM bench_sharing.record_share"
        " WHERE entity = 'lead' AND user_id = %(user)s)"
    )
    ways = ["r.owner_id = ANY(%(owners)s)", shared, *(_condition(each) for each in asked.rules)]
    condition = f"r.company_id = 1 AND r.deleted_at IS NULL AND ({' OR '.join(ways)})"
    values = {"owners": owners, "user": user}
    return list(sql.run(connection, _PAGE.format(condition), values).scalars())


def _condition(predicate: Mapping[str, Any]) -> str:
    values, bound = predicate["and"]
    named = ", ".join(f"'{value}'" for value in values["in"][1])
    return f"(r.status IN ({named}) AND r.score >= {bound['ge'][1]})"


def _filtered(connection: sa.Connection, peer: Peer, user: int) -> list[int]:
    found: list[int] = []
    last = 1 << 60
    while len(found) < SIZE:
        rows = sql.run(connection, _NEWEST, user=user, last=last).mappings().all()
        if not rows:
            break
        last = rows[-1]["id"]
        found += [row["id"] for row in rows if peer.of(user, dict(row))]
    return found[:SIZE]


__all__ = ["case"]
