"""Cases: may a user read a record, which rules apply, a page of what a user may see, warming.

A company with 200,000 leads, 400 users, a tree of roles six deep and teams; each decision is
another lead and another user. The ORM way loads objects as a CRM would write it. Plain SQL asks six
queries. The old way keeps the rules in Redis as JSON, and asks the rest; a miss reads and stores
them. Ours asks one query. The floor reads the record and decides nothing.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.case import OURS, Case
from bench.report import table
from bench.setup import Setup
from crm_ops.base import database, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.read.access import Access, Record, User
from crm_ops.sharing import install, warm

LEADS = 200_000
USERS = 400
DEPTH = 6
DECISIONS = 200
WRITERS = 20
KEY = b"a key for the benchmark, 32 bytes"
NOW = datetime(2026, 6, 30, tzinfo=UTC)
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
ANALYZE bench_sharing.lead
"""

_CHAIN = """
WITH RECURSIVE up AS (
    SELECT id, parent_id FROM bench_sharing.role WHERE id = %(role)s
    UNION SELECT r.id, r.parent_id FROM bench_sharing.role AS r JOIN up ON r.id = up.parent_id)
SELECT id FROM up"""
_LEAD = "SELECT * FROM bench_sharing.lead WHERE id = %(lead)s AND deleted_at IS NULL"
_RULES = (
    "SELECT predicate, grantee_type, grantee_id FROM bench_sharing.sharing_rule"
    " WHERE company_id = 1 AND entity = 'lead' AND is_active"
)


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


def questions(seed: int = 7) -> list[tuple[int, int]]:
    """Users and leads, the same every time."""
    drawn = random.Random(seed)
    return [(drawn.randint(1, USERS), drawn.randint(1, LEADS)) for _ in range(DECISIONS)]


def run(setup: Setup) -> None:
    """Prepare, and measure every case."""
    engine, redis = setup.engine, setup.redis
    report = setup.report("sharing", "Who may see what", __doc__)
    prepare(engine)
    for count in (1, 40, 200):
        report.case(may_case(engine, redis, count), setup.rounds)
    set_rules(engine, 40)
    for readers in (1, 8):
        report.add(_latencies(engine, redis, readers))
    for case in (page_case(engine), warm_case(engine, redis)):
        report.case(case, setup.rounds)
    report.add(_contention(engine))


def _contention(engine: sa.Engine) -> str:
    with_triggers = writes_per_s(engine)
    install.remove(engine)
    without = writes_per_s(engine)
    install.apply(engine, catalog())
    return (
        f"## {WRITERS} writers of one tenant's rules\n\n"
        f"{without:,.0f} writes a second without triggers, {with_triggers:,.0f} with them:"
        f" {with_triggers / without:.2f} of it.\n"
    )


def writes_per_s(engine: sa.Engine, seconds: float = 4.0) -> float:
    """Rules of one tenant that so many processes change in a second, each in its own commit."""
    url = engine.url.render_as_string(hide_password=False)
    forked = multiprocessing.get_context("fork")
    begin = time.time() + 4.0
    with forked.Pool(WRITERS) as pool:
        asked = [(url, writer, begin, seconds) for writer in range(WRITERS)]
        return sum(pool.starmap(_write, asked, chunksize=1)) / seconds


def _write(url: str, writer: int, begin: float, seconds: float) -> int:
    engine = database.engine(url)
    writes = 0
    statement = (
        "UPDATE bench_sharing.sharing_rule SET grantee_id = grantee_id + 1 WHERE id = %(id)s"
    )
    with database.autocommit(engine) as connection:
        sql.run(connection, "SELECT 1")
        time.sleep(max(0.0, begin - time.time()))
        while time.time() < begin + seconds:
            sql.run(connection, statement, id=writer)
            writes += 1
    engine.dispose()
    return writes


def _latencies(engine: sa.Engine, redis: store.Client, readers: int) -> str:
    shown = [
        [way, f"{median:.3f}", f"{most:.3f}", f"{cost:.3f}"]
        for way, median, most, cost in latencies(engine, redis, readers)
    ]
    return (
        f"## one decision, 40 rules, {readers} reader{'s' if readers > 1 else ''}\n\n"
        "The cost of the permission is the median above the floor's.\n\n"
        + table(("way", "median ms", "p95 ms", "cost ms"), shown)
    )


def ways(engine: sa.Engine, redis: store.Client) -> Mapping[str, Callable[[Any, int, int], bool]]:
    """May a user read a lead, by name of the way; each takes a connection, a user and a lead."""
    with database.autocommit(engine) as connection:
        access = Access(connection, catalog())
    key = "old:" + hashlib.md5(b"rules:1:lead").hexdigest()

    def old(connection: sa.Connection, user: int, lead: int) -> bool:
        value = redis.get(key)
        if value is None:
            found = [list(row) for row in sql.run(connection, _RULES)]
            redis.set(key, json.dumps(found), ex=3600)
            return _plain(connection, user, lead, found)
        return _plain(connection, user, lead, json.loads(value))  # type: ignore[arg-type]

    def missed(connection: sa.Connection, user: int, lead: int) -> bool:
        redis.delete(key)
        return old(connection, user, lead)

    return {
        "ORM": _orm,
        "plain SQL": lambda connection, user, lead: _plain(
            connection, user, lead, list(sql.run(connection, _RULES))
        ),
        "old way, hit": old,
        "old way, miss": missed,
        OURS: lambda connection, user, lead: access.may(
            connection, User("1", str(user)), Record("lead", str(lead))
        ),
        "floor (read the record)": lambda connection, _user, lead: (
            sql.run(connection, _LEAD, lead=lead).first() is not None
        ),
    }


def may_case(engine: sa.Engine, redis: store.Client, count: int) -> Case:
    """May a user read a record, with `count` rules."""
    set_rules(engine, count)
    # Else the old way answers by the rules of the case before.
    redis.flushdb()
    found = ways(engine, redis)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    asked = questions()

    def run(way: Callable[[Any, int, int], bool]) -> None:
        for user, lead in asked:
            way(connection, user, lead)

    answers = {
        name: [way(connection, user, lead) for user, lead in asked]
        for name, way in found.items()
        if not name.startswith("floor")
    }
    assert len({tuple(each) for each in answers.values()}) == 1, "the ways disagree"
    granted = sum(answers[OURS])
    return Case(
        f"may a user read a record, {count} rules",
        f"{len(asked)} decisions, of which {granted} are grants",
        {name: lambda way=way: run(way) for name, way in found.items()},
    )


def latencies(
    engine: sa.Engine, redis: store.Client, readers: int
) -> list[tuple[str, float, float, float]]:
    """Way, median ms, 95th percentile ms, and permission cost (median above the floor's) in ms."""
    timed = {name: _timed(engine, way, readers) for name, way in ways(engine, redis).items()}
    floor = statistics.median(timed["floor (read the record)"])
    return [
        (
            name,
            statistics.median(each) * 1000,
            statistics.quantiles(each, n=20)[18] * 1000,
            (statistics.median(each) - floor) * 1000,
        )
        for name, each in timed.items()
    ]


def page_case(engine: sa.Engine) -> Case:
    """The first 50 leads that a user may see, newest first."""
    with database.autocommit(engine) as made:
        access = Access(made, catalog())
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    users = [user for user, _ in questions()][:20]
    page = "SELECT r.id FROM bench_sharing.lead AS r WHERE {} ORDER BY r.id DESC LIMIT 50"

    def ours() -> None:
        for user in users:
            access.rows(
                connection,
                User("1", str(user)),
                "lead",
                lambda given: page.format(given.condition),
            )

    def filtered() -> None:
        for user in users:
            _filter(connection, user)

    def floor() -> None:
        for _ in users:
            sql.run(connection, page.format("deleted_at IS NULL")).all()

    return Case(
        "a page of 50 leads that a user may see",
        f"{len(users)} users; filtering in the program stops after 500 leads",
        {"filtered in the program": filtered, OURS: ours, "floor (any 50)": floor},
    )


def _filter(connection: sa.Connection, user: int) -> list[int]:
    """Pages of leads, each lead asked about by itself, until 50 are seen or 500 were asked."""
    found = list(sql.run(connection, _RULES))
    seen: list[int] = []
    newest = "SELECT id FROM bench_sharing.lead ORDER BY id DESC LIMIT 500"
    for lead in sql.run(connection, newest).scalars().all():
        if len(seen) == 50:
            break
        if _plain(connection, user, lead, found):
            seen.append(lead)
    return seen


def warm_case(engine: sa.Engine, redis: store.Client, tenants: int = 2_000) -> Case:
    """Rules of `tenants` companies and five entities into Redis."""
    entities = ["lead", "deal", "account", "contact", "case"]
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            "INSERT INTO bench_sharing.company SELECT n, 'private'"
            " FROM generate_series(2, %(n)s) AS n ON CONFLICT DO NOTHING",
            n=tenants,
        )
        sql.run(
            connection,
            "INSERT INTO bench_sharing.sharing_rule SELECT 1000000 + n, 1 + n %% %(t)s,"
            " (ARRAY['lead', 'deal', 'account', 'contact', 'case'])[1 + n %% 5],"
            """ '{"eq": ["status", "s1"]}', 'everyone', NULL, 'read_only', true"""
            " FROM generate_series(1, %(t)s * 10) AS n ON CONFLICT DO NOTHING",
            t=tenants,
        )
        sql.run(connection, "ANALYZE bench_sharing.sharing_rule")
    keys = [str(n) for n in range(1, tenants + 1)]
    declared = catalog()

    def naive() -> None:
        query = _RULES.replace("company_id = 1", "company_id = %(t)s").replace("'lead'", "%(e)s")
        with database.autocommit(engine) as connection:
            for tenant in keys:
                for entity in entities:
                    found = [list(row) for row in sql.run(connection, query, t=tenant, e=entity)]
                    redis.set(f"old:{tenant}:{entity}", json.dumps(found), ex=3600)

    def floor() -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for tenant in keys:
                for entity in entities:
                    pipeline.set(f"floor:{tenant}:{entity}", b"x" * 500, ex=3600)
            pipeline.execute()

    return Case(
        f"warming {len(keys) * len(entities):,} tenants and entities",
        "the naive loop asks and stores each by itself; the floor only stores, in one pipeline",
        {
            "naive loop": naive,
            OURS: lambda: warm.warm(
                engine,
                redis,
                declared,
                keys,
                entities,
                signing_key=KEY,
                now=NOW,
                dry_run=False,
            ),
            "floor (pipelined SET)": floor,
        },
    )


def _timed(engine: sa.Engine, way: Callable[[Any, int, int], bool], readers: int) -> list[float]:
    seconds: list[float] = []

    def read(seed: int) -> None:
        with database.autocommit(engine) as connection:
            for user, lead in questions(1):
                way(connection, user, lead)
            for user, lead in questions(seed):
                started = time.perf_counter()
                way(connection, user, lead)
                seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=read, args=(1,)) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def _plain(connection: sa.Connection, user: int, lead: int, found: Sequence[Sequence[Any]]) -> bool:
    """Five more queries beside the rules', and a small interpreter."""
    record = sql.run(connection, _LEAD, lead=lead).mappings().first()
    asked = "SELECT role_id, is_active FROM bench_sharing.app_user WHERE id = %(u)s"
    person = sql.run(connection, asked, u=user).first()
    if record is None or person is None or not person.is_active:
        return False
    mine = set(sql.run(connection, _CHAIN, role=person.role_id).scalars())
    owner = sql.run(connection, asked, u=record["owner_id"]).first()
    above = set(sql.run(connection, _CHAIN, role=owner.role_id if owner else None).scalars())
    teams = set(
        sql.run(
            connection,
            "SELECT team_id FROM bench_sharing.team_member WHERE user_id = %(u)s",
            u=user,
        ).scalars()
    )
    shared = sql.run(
        connection,
        "SELECT level FROM bench_sharing.record_share"
        " WHERE entity = 'lead' AND record_id = %(lead)s AND user_id = %(u)s",
        lead=lead,
        u=user,
    ).first()
    if record["owner_id"] == user or shared is not None:
        return True
    if owner is not None and owner.role_id != person.role_id and person.role_id in above:
        return True
    return any(
        _concerns(kind, grantee, user, person.role_id, mine, teams) and _matches(predicate, record)
        for predicate, kind, grantee in found
    )


def _concerns(
    kind: str, grantee: int | None, user: int, role: int, mine: set[int], teams: set[int]
) -> bool:
    match kind:
        case "everyone":
            return True
        case "user":
            return grantee == user
        case "team":
            return grantee in teams
        case "role":
            return grantee == role
    return grantee in mine


def _matches(predicate: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    [(operator, operand)] = predicate.items()
    if operator == "and":
        return all(_matches(part, record) for part in operand)
    cell = record[operand[0]]
    if operator == "in":
        return cell in operand[1]
    return bool(cell >= operand[1]) if operator == "ge" else bool(cell == operand[1])


class _Base(DeclarativeBase):
    metadata = sa.MetaData(schema="bench_sharing")


class _Lead(_Base):
    __tablename__ = "lead"
    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    owner_id: Mapped[int]
    status: Mapped[str]
    source: Mapped[str]
    score: Mapped[float] = mapped_column(sa.Numeric)
    deleted_at: Mapped[datetime | None]


class _User(_Base):
    __tablename__ = "app_user"
    id: Mapped[int] = mapped_column(primary_key=True)
    role_id: Mapped[int]
    is_active: Mapped[bool]


class _Role(_Base):
    __tablename__ = "role"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None]


class _Member(_Base):
    __tablename__ = "team_member"
    team_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)


class _Share(_Base):
    __tablename__ = "record_share"
    entity: Mapped[str] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)


class _Rule(_Base):
    __tablename__ = "sharing_rule"
    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    entity: Mapped[str]
    predicate: Mapped[Any] = mapped_column(sa.JSON)
    grantee_type: Mapped[str]
    grantee_id: Mapped[int | None]
    is_active: Mapped[bool]


def _orm(connection: sa.Connection, user: int, lead: int) -> bool:
    """Objects, one after the other, in a session of the request."""
    with Session(connection) as session:
        record, person = session.get(_Lead, lead), session.get(_User, user)
        if record is None or record.deleted_at or person is None or not person.is_active:
            return False
        owner = session.get(_User, record.owner_id)
        mine = _roles_up(session, person.role_id)
        if record.owner_id == user:
            return True
        above = _roles_up(session, owner.role_id) if owner is not None else set()
        if owner is not None and owner.role_id != person.role_id and person.role_id in above:
            return True
        if session.get(_Share, ("lead", lead, user)) is not None:
            return True
        member = sa.select(_Member).where(_Member.user_id == user)
        teams = {each.team_id for each in session.scalars(member)}
        wanted = sa.select(_Rule).where(
            _Rule.company_id == 1, _Rule.entity == "lead", _Rule.is_active
        )
        cells = {"status": record.status, "source": record.source, "score": record.score}
        return any(
            _concerns(rule.grantee_type, rule.grantee_id, user, person.role_id, mine, teams)
            and _matches(rule.predicate, cells)
            for rule in session.scalars(wanted)
        )


def _roles_up(session: Session, role: int | None) -> set[int]:
    found: set[int] = set()
    while role is not None and role not in found:
        found.add(role)
        above = session.get(_Role, role)
        role = above.parent_id if above is not None else None
    return found
