"""Who may see what, compared with plain Python, and after every kind of change."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import install
from tests.sharing import office
from tests.sharing.office import READ, WRITE, Office

CATALOG = office.catalog()
UUIDS = [UUID(int=1), UUID("aaaaaaaa-0000-0000-0000-000000000000")]
TEXTS = ["", "a", "B", "b", "Ä", "é", "100%", "o'x", "\\", "\U0001f600", "\uffff"]
NUMBERS = ["0", "-1", "1", "2.50", "99999999999999999999.5"]
DAYS = ["2026-01-31", "1999-12-31"]
MOMENTS = ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000001+00:00", "2025-06-01T00:00:00+05:30"]


@pytest.fixture
def engine(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    return database


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with databases.autocommit(engine) as made:
        yield made


def of_values(name: str, values: list[Any]) -> st.SearchStrategy[Any]:
    ordered = ["eq", "ne"] + (["lt", "le", "gt", "ge"] if name not in ("hot", "ref", "stage") else [])
    ways: list[st.SearchStrategy[Any]] = [
        st.just({"is_null": [name]}),
        st.builds(lambda o, v: {o: [name, v]}, st.sampled_from(ordered), st.sampled_from(values)),
        st.builds(
            lambda v: {"in": [name, v]}, st.lists(st.sampled_from(values), min_size=1, max_size=3)
        ),
    ]
    if name == "100% text":
        ways.append(st.builds(lambda v: {"contains": [name, v]}, st.sampled_from(values)))
    return st.one_of(ways)


CONDITIONS = st.one_of(
    of_values("100% text", TEXTS),
    of_values("stage", ["new", "won", "no such"]),
    of_values("size", [0, 1, -5, Decimal("1.5")]),
    of_values("amount", [Decimal(n) for n in NUMBERS]),
    of_values("hot", [True, False]),
    of_values("born", DAYS),
    of_values("seen", MOMENTS),
    of_values("ref", [str(each) for each in UUIDS]),
)
PREDICATES = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(lambda p: {"not": p}, inner),
        st.builds(lambda p: {"and": p}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda p: {"or": p}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
IDS = st.integers(1, 4)
LEVELS = st.sampled_from([READ, WRITE])


def maybe(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.sampled_from(values))


@st.composite
def offices(draw: st.DrawFn) -> Office:
    company = st.integers(1, 2)
    kinds = st.sampled_from(["everyone", "role", "role_and_subordinates", "team", "user"])
    rules = []
    for key in range(draw(st.integers(0, 5))):
        kind = draw(kinds)
        grantee = None if kind == "everyone" else draw(IDS)
        predicate = draw(PREDICATES)
        rules.append(
            (key, draw(company), "lead", predicate, kind, grantee, draw(LEVELS), draw(st.booleans()))
        )
    return Office(
        companies=[
            (1, draw(maybe(["private", "public_read", "public_read_write", "?"]))),
            (2, "private"),
        ],
        roles=[(key, draw(company), draw(st.one_of(st.none(), IDS))) for key in range(1, 5)],
        users=[
            (key, draw(company), draw(st.one_of(st.none(), IDS)), draw(st.integers(0, 5)) > 0)
            for key in range(1, 5)
        ],
        members=draw(st.lists(st.tuples(IDS, IDS), max_size=5, unique=True)),
        rules=rules,
        shares=draw(st.lists(st.tuples(IDS, IDS, LEVELS), max_size=3)),
        leads=[
            (
                key,
                draw(company),
                draw(st.one_of(st.none(), IDS)),
                draw(maybe(TEXTS)),
                draw(maybe(["lost", "new", "won"])),
                draw(maybe([0, 1, -5, 2])),
                draw(maybe([Decimal(n) for n in [*NUMBERS, "NaN", "Infinity"]])),
                draw(maybe([True, False])),
                draw(maybe([date.fromisoformat(day) for day in DAYS])),
                draw(maybe([datetime.fromisoformat(each).astimezone(UTC) for each in MOMENTS])),
                draw(maybe(UUIDS)),
                draw(maybe([datetime(2026, 1, 1, tzinfo=UTC)])) if draw(st.booleans()) else None,
            )
            for key in range(1, 5)
        ],
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(found=st.lists(offices(), min_size=1, max_size=3))
def test_the_law_all_ways_of_deciding_agree_with_plain_python(
    engine: sa.Engine, connection: sa.Connection, found: list[Office]
) -> None:
    access = Access(connection, CATALOG)
    for each in found:
        office.fill(engine, each)
        for company in (1, 2):
            levels = {
                (user, lead): office.level(each, company, user, lead)
                for user in range(1, 6)
                for lead in range(1, 6)
            }
            for (user, lead), level in levels.items():
                who, what = User(str(company), str(user)), Record("lead", str(lead))
                assert access.may(connection, who, what) is (level is not None), (each, who, what)
                assert access.may(connection, who, what, WRITE) is (level == WRITE)
                explained = access.explain(connection, who, what)
                assert explained.level == level
                assert bool(explained.why_not) is (level is None)
            for user in range(1, 6):
                keys = access.keys(connection, User(str(company), str(user)), "lead")
                assert keys == {str(r) for (u, r), seen in levels.items() if u == user and seen}
            for lead in range(1, 6):
                seers = access.who(connection, str(company), Record("lead", str(lead)))
                assert {(seer.user, seer.level) for seer in seers} == {
                    (str(u), seen) for (u, r), seen in levels.items() if r == lead and seen
                }
