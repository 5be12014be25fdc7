"""Which sharing rules apply to a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import sqlalchemy as sa

from bench.case import OURS, Case
from bench.sharing import company, orm, plain
from bench.sharing.company import Place
from bench.sharing.peer import Peer
from crm_ops.base import prepared, store
from crm_ops.read.access import Access, User

LOOKUPS = 50


def case(engine: sa.Engine, redis: store.Client, place: Place) -> Case:
    """Of 40 rules, those that concern a user; known to be current, except by casbin and a hit."""
    company.set_rules(engine, 40)
    connection = place.engine().connect()
    plain.forget(redis)
    peer, access = Peer(connection), Access(connection, company.catalog())
    users = [user for user, _ in company.questions(7, LOOKUPS)]

    def of(known: Callable[[], list[list[object]]], user: int) -> int:
        found = plain.person(connection, user, known())
        return 0 if found is None else len(found.rules)

    def missed() -> list[list[object]]:
        plain.forget(redis)
        return plain.old_rules(connection, redis)

    def ours(user: int) -> None:
        given = access.visible(connection, User("1", str(user)), "lead")
        assert prepared.row(connection, f"SELECT {given.current}", given.values) == (True,)

    ways: dict[str, Callable[[int], object]] = {
        "ORM": lambda user: orm.lookup(connection, user),
        "plain SQL": lambda user: of(lambda: plain.rules(connection), user),
        "old way, hit": lambda user: of(lambda: plain.old_rules(connection, redis), user),
        "old way, miss": lambda user: of(missed, user),
        "casbin": peer.lookup,
        OURS: ours,
        "floor (one trip)": lambda _: prepared.row(connection, "SELECT 1", {}),
    }
    counted = {
        name: [way(user) for user in users]
        for name, way in ways.items()
        if name in ("ORM", "plain SQL", "old way, hit", "casbin")
    }
    assert len({tuple(each) for each in counted.values()}) == 1, "the ways disagree"
    return Case(
        "which rules apply to a user, 40 rules",
        f"{LOOKUPS} users, each known to ours; ours makes the condition of them for SQL, and asks"
        " whether it is current",
        {name: partial(_each, way, users) for name, way in ways.items()},
    )


def _each(way: Callable[[int], object], users: Sequence[int]) -> None:
    for user in users:
        way(user)


__all__ = ["case"]
