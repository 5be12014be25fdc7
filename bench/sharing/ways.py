"""May a user read a lead: every way, made ready in the process that asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from bench.case import OURS
from bench.sharing import company, orm, plain
from bench.sharing.peer import Peer
from crm_ops.base import prepared, store
from crm_ops.read.access import Access, Record, User

Way = Callable[[int, int], bool]

FLOOR = "floor (read the record)"
_LEAD = "SELECT * FROM bench_sharing.lead WHERE id = %(lead)s AND deleted_at IS NULL"


def ready(connection: sa.Connection, redis: store.Client) -> Mapping[str, Callable[[], Way]]:
    """By name, what makes a way ready, unmeasured, before it is asked a number of times."""
    # Else the old way answers by rules of before.
    plain.forget(redis)
    peer = Peer(connection)
    warm = Access(connection, company.catalog())
    # As in a process that has been up for a while.
    for user in range(1, company.USERS + 1):
        warm.may(connection, User("1", str(user)), Record("lead", "1"))

    def old(user: int, lead: int) -> bool:
        return plain.may(connection, user, lead, plain.old_rules(connection, redis))

    def missed(user: int, lead: int) -> bool:
        plain.forget(redis)
        return old(user, lead)

    def hit() -> Way:
        plain.old_rules(connection, redis)
        return old

    def ours(access: Access) -> Way:
        return lambda user, lead: access.may(
            connection, User("1", str(user)), Record("lead", str(lead))
        )

    def first() -> Way:
        access = Access(connection, company.catalog())
        access.may(connection, User("1", "0"), Record("lead", "1"))
        return ours(access)

    return {
        "ORM": lambda: lambda user, lead: orm.may(connection, user, lead),
        "plain SQL": lambda: (
            lambda user, lead: plain.may(connection, user, lead, plain.rules(connection))
        ),
        "old way, hit": hit,
        "old way, miss": lambda: missed,
        "casbin": lambda: lambda user, lead: peer.may(connection, user, lead),
        "ours, miss": first,
        OURS: lambda: ours(warm),
        # With a text, as ours: so it is read without a pipeline, too.
        FLOOR: lambda: (
            lambda _, lead: prepared.row(connection, _LEAD, {"lead": str(lead)}) is not None
        ),
    }


__all__ = ["FLOOR", "Way", "ready"]
