"""`python -m drill.sharing`: is a grant ever honoured after its revocation was acknowledged?

Writers grant and revoke, roll back and crash; readers ask, and store some things long after they
read them; Redis loses everything and every connection in between. A check counts if it began after
a revocation had been acknowledged and ended before the next grant began: then it must say no. The
drill runs the old ways, too: a cache with a time to live, and one that is deleted after the commit.
It fails if ours grants once, and also if it does not catch them: then it would prove nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa

from crm_ops.base import database, errors, sql, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.local import place, ports, postgres
from crm_ops.local import redis as local_redis
from crm_ops.local.processes import Processes
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import install, shared

KEY = b"a key for the drill, 32 letters.."
PASSWORD = "for-the-drill-only"
TENANTS = 4
TTL_S = 2
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
    found = []
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


# --- the ways of deciding --------------------------------------------------------------------

Decide = Callable[[sa.Connection, Pair], bool]


class LateRedis(redis.Redis):
    """Writes some values long after they were read."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "SET":
            _dawdle()
        return super().execute_command(*args, **options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        _dawdle()
        return super().pipeline(*args, **options)


def _dawdle() -> None:
    if random.random() < 0.2:
        time.sleep(random.random() * 0.02)


def ours(_: sa.Connection, redis_url: str) -> Decide:
    """The library, with Redis; it forgets now and then, as a new process would."""
    held: list[Access] = []

    def decide(connection: sa.Connection, pair: Pair) -> bool:
        if not held or random.random() < 0.002:
            client = LateRedis.from_url(redis_url, socket_timeout=0.05, socket_connect_timeout=0.05)
            held[:] = [Access(connection, catalog(), shared=shared.Shared(client, KEY))]
        return held[0].may(connection, User(str(pair.company), str(pair.user)), lead_of(pair))

    return decide


def lead_of(pair: Pair) -> Record:
    return Record("lead", str(pair.lead))


def cached(connection: sa.Connection, redis_url: str) -> Decide:
    """The decision itself in Redis, for some seconds: as the system before."""
    client = LateRedis.from_url(redis_url, socket_timeout=0.5)
    plain = Access(connection, catalog())

    def decide(connection: sa.Connection, pair: Pair) -> bool:
        name = f"old:{pair.company}:{pair.user}:{pair.lead}"
        with suppress(redis.RedisError):
            value = client.get(name)
            if value is not None:
                return value == b"1"
        found = plain.explain(
            connection, User(str(pair.company), str(pair.user)), lead_of(pair)
        ).level
        with suppress(redis.RedisError):
            client.set(name, b"1" if found else b"0", ex=TTL_S)
        return found is not None

    return decide


DECIDE = {"ours": ours, "time to live": cached, "delete after commit": cached}


# --- the racing processes --------------------------------------------------------------------
# A pair's number in `states` is even while its revocation is acknowledged, odd otherwise; every
# change adds one. `counts` are: checks that counted, stale grants, grants seen, errors, writes.


def read(
    way: str, url: str, redis_url: str, states: SynchronizedArray[int], counts: Any, until: float
) -> None:
    engine = database.engine(url)
    found = pairs()
    random.seed(os.getpid())
    with database.autocommit(engine) as connection:
        decide = DECIDE[way](connection, redis_url)
        mine = [0, 0, 0, 0]
        while time.time() < until:
            pair = random.choice(found)
            before = states[pair.number]
            try:
                granted = decide(connection, pair)
            except errors.CrmOpsError:
                mine[3] += 1
                continue
            after = states[pair.number]
            if before == after and before % 2 == 0:
                mine[0] += 1
                mine[1] += granted
            mine[2] += granted
    with counts.get_lock():
        for at, value in enumerate(mine):
            counts[at] += value


def write(
    way: str, url: str, redis_url: str, states: SynchronizedArray[int], counts: Any, part: int
) -> None:
    engine = database.engine(url)
    client = store.client(redis_url, timeout_s=0.5)
    random.seed(os.getpid())
    found = [pair for pair in pairs() if pair.number % 3 == part]
    with engine.connect() as connection:
        # The one before may have crashed anywhere: what it was at is revoked first, then counted.
        for pair in found:
            if states[pair.number] % 2:
                _revoke(connection, pair)
                states[pair.number] += 1
        while True:
            pair = random.choice(found)
            states[pair.number] += 1
            _grant(connection, pair)
            _deleted(way, client, pair)
            time.sleep(random.random() * 0.01)
            if random.random() < 0.1:
                # A revocation that is rolled back revokes nothing.
                sql.run(connection, pair.fill(WAYS[pair.way][1]))
                connection.rollback()
            _revoke(connection, pair)
            states[pair.number] += 1
            if random.random() >= 0.02:
                _deleted(way, client, pair)
            if random.random() < 0.1:
                # A grant that is rolled back grants nothing.
                sql.run(connection, pair.fill(WAYS[pair.way][0]))
                time.sleep(random.random() * 0.005)
                connection.rollback()
            with counts.get_lock():
                counts[4] += 2
            time.sleep(random.random() * 0.02)


def _grant(connection: sa.Connection, pair: Pair) -> None:
    sql.run(connection, pair.fill(WAYS[pair.way][0]))
    connection.commit()


def _revoke(connection: sa.Connection, pair: Pair) -> None:
    sql.run(connection, pair.fill(WAYS[pair.way][1]))
    connection.commit()


def _deleted(way: str, client: store.Client, pair: Pair) -> None:
    if way == "delete after commit":
        with suppress(redis.RedisError):
            client.delete(f"old:{pair.company}:{pair.user}:{pair.lead}")


# --- the drill -------------------------------------------------------------------------------


def run(way: str, url: str, redis_place: _Redis, seconds: float, checks: int) -> list[int]:
    """Race until `seconds` have passed and, of ours, `checks` counted; the sums of `counts`."""
    states = mp.Array(ctypes.c_long, len(pairs()))
    total = [0] * 5
    deadline = time.time() + 600
    while total[0] < checks and time.time() < deadline:
        counts = mp.Array(ctypes.c_long, 5)
        until = time.time() + seconds
        redis_url = redis_place.url
        writers = [_started(write, way, url, redis_url, states, counts, at) for at in range(3)]
        readers = [_started(read, way, url, redis_url, states, counts, until) for _ in range(3)]
        while time.time() < until:
            time.sleep(seconds / 5)
            at = random.randrange(3)
            _kill(writers[at])
            writers[at] = _started(write, way, url, redis_url, states, counts, at)
            redis_place.lose()
        for process in readers:
            process.join()
        for process in writers:
            _kill(process)
        total = [one + other for one, other in zip(total, counts, strict=True)]
    _quiet(url, states)
    return total


def _started(target: Callable[..., None], *args: Any) -> Any:
    process = mp.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def _kill(process: Any) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def _quiet(url: str, states: SynchronizedArray[int]) -> None:
    """Revoke what the killed writers left granted, for the next way."""
    engine = database.engine(url)
    with engine.connect() as connection:
        for pair in pairs():
            _revoke(connection, pair)
            states[pair.number] = 0
    engine.dispose()


class _Redis:
    """A Redis that can lose everything."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        folder.mkdir()
        self.url = local_redis.start(
            processes,
            folder,
            log=folder / "redis.log",
            port=ports.any_free(),
            password=PASSWORD,
        ).url

    def lose(self) -> None:
        """Empty it and cut its connections, as a restart does."""
        with suppress(errors.CrmOpsError, redis.RedisError), store.client(self.url) as client:
            client.flushall()
            client.client_kill_filter(_type="normal", skipme=True)


def main() -> None:
    """Race every way, tell the figures, and exit 1 if they are not as they must be."""
    parser = argparse.ArgumentParser(prog="python -m drill.sharing", description=__doc__)
    parser.add_argument("--checks", type=int, default=50_000, help="of ours, at least")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-drill-")).resolve()
    try:
        with Processes(folder / "processes.json") as processes:
            server = postgres.start(
                processes,
                folder / "postgres",
                log=folder / "postgresql.log",
                port=ports.any_free(),
                password=PASSWORD,
            )
            engine = database.engine(server.url("postgres"))
            fill(engine)
            engine.dispose()
            redis_place = _Redis(processes, folder / "redis")
            results = {}
            for way in DECIDE:
                checks = asked.checks if way == "ours" else 1
                results[way] = run(way, server.url("postgres"), redis_place, asked.seconds, checks)
                _tell(way, results[way])
    finally:
        place.remove(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(_verdict(results))


def _tell(way: str, figures: list[int]) -> None:
    checks, stale, granted, failed, writes = figures
    print(
        f"{way}: {checks:,} checks after an acknowledged revoke, {stale:,} stale grants;"
        f" {granted:,} grants in all, {failed:,} denied with an error, {writes:,} writes",
        flush=True,
    )


def _verdict(results: dict[str, list[int]]) -> int:
    checks, stale, granted, _, _ = results["ours"]
    if stale or not checks or not granted:
        print("FAILED: a revoked grant was honoured, or nothing was asked", flush=True)
        return 1
    blind = [way for way in ("time to live", "delete after commit") if not results[way][1]]
    if blind:
        print(f"FAILED: {', '.join(blind)} was not caught: this proves nothing", flush=True)
        return 1
    print("held: no revoked grant was honoured, and the old ways were caught", flush=True)
    return 0


if __name__ == "__main__":
    main()
