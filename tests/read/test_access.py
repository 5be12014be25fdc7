"""Who may see what, compared with plain Python, and after every kind of change."""

from __future__ import annotations

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
from crm_ops.read.reader import Reader
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
    ordered = ["eq", "ne"] + (
        ["lt", "le", "gt", "ge"] if name not in ("hot", "ref", "stage") else []
    )
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
            (
                key,
                draw(company),
                "lead",
                predicate,
                kind,
                grantee,
                draw(LEVELS),
                draw(st.booleans()),
            )
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
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(found=st.lists(offices(), min_size=1, max_size=3))
def test_the_law_all_ways_of_deciding_agree_with_plain_python(
    engine: sa.Engine, connection: sa.Connection, found: list[Office]
) -> None:
    access = Access(connection, CATALOG)
    reader = Reader(CATALOG, engine, access=access)
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
                shown = reader.search("lead", tenant=company, as_user=user, sort="id")
                assert {str(row["id"]) for row in shown.rows} == keys
                assert shown.total == len(keys)
            for lead in range(1, 6):
                seers = access.who(connection, str(company), Record("lead", str(lead)))
                assert {(seer.user, seer.level) for seer in seers} == {
                    (str(u), seen) for (u, r), seen in levels.items() if r == lead and seen
                }


SMALL = Office(
    companies=[(1, "private"), (2, "private")],
    roles=[(1, 1, None), (2, 1, 1)],
    users=[(1, 1, 1, True), (2, 1, 2, True), (3, 1, None, True), (4, 2, None, True)],
    members=[(7, 3)],
    rules=[
        (1, 1, "lead", {"eq": ["size", 1]}, "team", 7, READ, True),
        (2, 1, "lead", {"eq": ["size", 2]}, "role_and_subordinates", 1, WRITE, True),
    ],
    shares=[(3, 3, READ)],
    leads=[
        (1, 1, 2, None, None, 1, None, None, None, None, None, None),
        (2, 1, None, None, None, 2, None, None, None, None, None, None),
        (3, 1, None, None, None, 3, None, None, None, None, None, None),
    ],
)

# A user, what is taken from somebody, and the leads that the user may read then.
REVOKED = [
    (3, "DELETE FROM office.member", "3"),
    (3, "TRUNCATE office.member", "3"),
    (3, "UPDATE office.member SET team_id = 8", "3"),
    (3, "DELETE FROM office.rule", "3"),
    (3, "UPDATE office.rule SET is_active = false", "3"),
    (3, "UPDATE office.rule SET company_id = 2", "3"),
    (3, """UPDATE office.rule SET predicate = '{"eq": ["size", 9]}'""", "3"),
    (3, """UPDATE office.rule SET predicate = '{"never": 1}'""", "3"),
    (3, "TRUNCATE office.rule", "3"),
    (3, "DELETE FROM office.share", "1"),
    (3, """UPDATE office."user" SET is_active = false""", ""),
    (3, """UPDATE office."user" SET is_active = NULL""", ""),
    (3, """DELETE FROM office."user" WHERE id = 3""", ""),
    (3, """UPDATE office."user" SET company_id = 2""", ""),
    (1, """UPDATE office."user" SET role_id = NULL WHERE id = 1""", ""),
    (1, "UPDATE office.role SET parent_id = NULL", "2"),
    (2, "UPDATE office.role SET parent_id = NULL", "1"),
    (2, "DELETE FROM office.role WHERE id = 2", "1"),
    (3, "UPDATE office.lead SET size = 5", "3"),
    (3, "UPDATE office.lead SET deleted_at = now()", ""),
    (3, "UPDATE office.lead SET company_id = 2", ""),
    (3, "DELETE FROM office.lead", ""),
    (3, "UPDATE office.member SET user_id = 1", "3"),
    (1, """UPDATE office."user" SET role_id = 2 WHERE id = 1""", "2"),
]
LEAD = Record("lead", "1")


class TestAnOffice:
    """Three users: a manager, a clerk, and one without a role who is in a team."""

    @pytest.fixture(autouse=True)
    def _filled(self, engine: sa.Engine) -> None:
        office.fill(engine, SMALL)

    @pytest.fixture
    def access(self, connection: sa.Connection) -> Access:
        return Access(connection, CATALOG)

    def write(self, engine: sa.Engine, *statements: str, keep: bool = True) -> None:
        with databases.transaction(engine, keep=keep) as connection:
            for statement in statements:
                sql.run(connection, statement)

    def seen(self, access: Access, connection: sa.Connection, user: int, tenant: str = "1") -> str:
        """The leads that a user may read, asked one by one; lists must agree."""
        asked = User(tenant, str(user))
        one_by_one = [key for key in "123" if access.may(connection, asked, Record("lead", key))]
        assert access.keys(connection, asked, "lead") == set(one_by_one)
        return "".join(one_by_one)

    def test_the_manager_sees_what_the_clerk_owns_and_not_the_other_way_round(
        self, access: Access, connection: sa.Connection
    ) -> None:
        assert self.seen(access, connection, 1) == "12"
        assert self.seen(access, connection, 2) == "12"
        assert self.seen(access, connection, 3) == "13"
        why = [grant.way for grant in access.explain(connection, User("1", "1"), LEAD).grants]
        assert why == ["has a role above that of the owner 2"]

    @pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
    def test_what_is_revoked_is_not_granted_again(
        self, engine: sa.Engine, access: Access, connection: sa.Connection, isolation: str
    ) -> None:
        begin = f"SET TRANSACTION ISOLATION LEVEL {isolation}"
        for user, revoked, left in REVOKED:
            office.fill(engine, SMALL)
            before = self.seen(access, connection, user)
            assert self.seen(access, connection, user) == before
            assert before != left
            self.write(engine, begin, revoked, keep=False)
            assert self.seen(access, connection, user) == before, f"{revoked}, rolled back"
            self.write(engine, begin, revoked)
            assert self.seen(access, connection, user) == left, revoked

    def test_a_tenants_default_opens_and_closes_everything(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        self.write(engine, "UPDATE office.company SET default_access = 'public_read'")
        assert self.seen(access, connection, 3) == "123"
        assert not access.may(connection, User("1", "3"), Record("lead", "2"), WRITE)
        self.write(engine, "UPDATE office.company SET default_access = 'private'")
        assert self.seen(access, connection, 3) == "13"

    def test_a_login_moves_no_epoch(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        def epochs() -> list[Any]:
            return list(sql.run(connection, "SELECT * FROM crm_ops.sharing_epoch ORDER BY 1, 2"))

        before = epochs()
        self.write(engine, """UPDATE office."user" SET last_login = 'now'""")
        assert epochs() == before

    def test_other_tenants_see_nothing(self, access: Access, connection: sa.Connection) -> None:
        assert self.seen(access, connection, 4, tenant="2") == ""
        assert self.seen(access, connection, 3, tenant="2") == ""

    def test_a_key_written_otherwise_is_no_way_around_an_epoch(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        odd = User("01", "3")
        assert access.may(connection, odd, LEAD)
        self.write(engine, "DELETE FROM office.member", "DELETE FROM office.rule")
        assert not access.may(connection, odd, LEAD)

    def test_a_wrong_rule_grants_nothing_and_is_named(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        self.write(engine, """UPDATE office.rule SET predicate = '{"like": ["size", 1]}'""")
        explained = access.explain(connection, User("1", "3"), LEAD)
        assert explained.level is None
        assert [(each.rule, each.why) for each in explained.broken] == [
            ("1", "unknown operator 'like'"),
            ("2", "unknown operator 'like'"),
        ]
        assert explained.why_not[0] == "the record belongs to 2"

    def test_without_triggers_every_decision_reads_everything(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        asked = User("1", "3")
        assert access.may(connection, asked, LEAD)
        install.remove(engine)
        self.write(engine, "UPDATE office.rule SET is_active = false")
        assert not access.may(connection, asked, LEAD)
        self.write(engine, "UPDATE office.rule SET is_active = true")
        assert access.may(connection, asked, LEAD)
        with pytest.raises(errors.SettingsError, match="crm-ops catalog apply"):
            access.keys(connection, asked, "lead")

    def test_a_condition_made_before_a_change_shows_nothing_after_it(
        self, engine: sa.Engine, access: Access, connection: sa.Connection
    ) -> None:
        given = access.visible(connection, User("1", "1"), "lead")
        text = f"SELECT count(*) FROM office.lead AS r WHERE {given.condition}"
        assert sql.run(connection, text, given.values).scalar_one() == 2
        self.write(engine, "UPDATE office.role SET parent_id = NULL")
        assert sql.run(connection, text, given.values).scalar_one() == 0

    @pytest.mark.parametrize(
        ("tenant", "user", "record", "told"),
        [
            ("1", "1", "one", "record: 'one' is no bigint; give a key that is in office.lead.id"),
            ("1", "1", str(2**63), "is no bigint"),
            ("1", "ann", "1", "user: 'ann' is no bigint; give a key that is in office.user.id"),
            ("one", "1", "1", "tenant: 'one' is no bigint"),
        ],
    )
    def test_what_can_be_no_key_is_told_and_costs_no_transaction(
        self, engine: sa.Engine, access: Access, tenant: str, user: str, record: str, told: str
    ) -> None:
        with databases.transaction(engine) as connection:
            for ask in (access.may, access.explain):
                with pytest.raises(errors.ParameterError, match=told):
                    ask(connection, User(tenant, user), Record("lead", record))
            assert not access.may(connection, User("1", "1"), Record("lead", str(2**63 - 1)))

    def test_without_postgresql_there_is_an_error_and_no_grant(self, access: Access) -> None:
        nobody = databases.engine("postgresql://me:hidden@127.0.0.1:1/crm")
        with (
            pytest.raises(errors.DatabaseUnavailable) as refused,
            databases.autocommit(nobody) as away,
        ):
            access.may(away, User("1", "3"), LEAD)
        assert "hidden" not in str(refused.value)

    def test_what_is_not_there_is_named(self, access: Access, connection: sa.Connection) -> None:
        with pytest.raises(errors.ParameterError, match="no entity is called deal; there are lead"):
            access.may(connection, User("1", "1"), Record("deal", "1"))
        with pytest.raises(errors.ParameterError, match="'delete' is no level"):
            access.may(connection, User("1", "1"), LEAD, "delete")  # type: ignore[arg-type]
