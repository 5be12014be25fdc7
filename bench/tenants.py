"""Three tenants, of 2, 20 and 100 in 100 of the demo CRM's leads, in a database of their own.

The demo's largest tenant has a fifth of all leads. Here one has as many as all, and as many deals;
the rows of the three lie between each other as they were created, as in a CRM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from bench.report import say
from bench.setup import ROOT, Setup, ensure
from crm_ops.base import database, sql, statements
from crm_ops.base.settings import DEFAULT_CATALOG
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.read import indexes

SHARES: Mapping[str, int] = {"1": 2, "2": 20, "3": 100}
"""The tenants' shares of the demo's leads, in percent, by key."""

_NAME = "reading"
_USERS = 300
_TABLES = ("company", "app_user", "lead", "deal")
_SHARING = ("role", "team_member", "sharing_rule", "record_share")
_ROLES, _TEAMS, _SHARES_EACH = 63, 20, 20
_DEMO = "crm_ops.demo"


@contextmanager
def up(setup: Setup) -> Iterator[sa.Engine]:
    """The database of the three tenants, made at its first use."""
    url = sa.make_url(setup.database_url)
    ensure(setup.engine, _NAME)
    engine = database.engine(url.set(database=_NAME).render_as_string(hide_password=False))
    try:
        if not _there(engine, "crm.complete"):
            _make(setup, engine)
        if not _there(engine, "crm.organised"):
            _organise(engine)
        yield engine
    finally:
        engine.dispose()


def catalog(whole: Catalog) -> Catalog:
    """The part of the demo's catalog that these tenants have tables for."""
    entities = {name: whole.entities[name] for name in ("lead", "deal")}
    kept = {name: each for name, each in whole.aggregates.items() if each.entity in entities}
    return whole.model_copy(update={"entities": entities, "aggregates": kept, "audit": None})


def user(tenant: str, number: int) -> str:
    """The key of one of a tenant's users; the first one's role is above all others."""
    return str(int(tenant) * _USERS + number)


def _there(engine: sa.Engine, table: str) -> bool:
    with database.transaction(engine) as connection:
        found = sql.run(connection, "SELECT to_regclass(%(name)s) IS NOT NULL", name=table)
        return bool(found.scalar_one())


def _organise(engine: sa.Engine) -> None:
    """Roles as a tree six deep, teams, rules, records shared with each user; indexes of texts."""
    say("three tenants: who sees what")
    tables = statements.load(_DEMO, "sql/tables.sql")
    rows = statements.load("bench", "tenants.sql")
    with database.transaction(engine) as connection:
        for name in _SHARING:
            sql.run(connection, f"DROP TABLE IF EXISTS crm.{name}")
            sql.run(connection, tables[name])
            bound = {"users": _USERS, "roles": _ROLES, "teams": _TEAMS, "each": _SHARES_EACH}
            sql.run(connection, rows[name], bound)
        sql.run(connection, rows["app_user"], users=_USERS, roles=_ROLES)
    with database.autocommit(engine) as connection:
        for statement in indexes.statements(catalog(load.load(ROOT / DEFAULT_CATALOG).catalog)):
            sql.run(connection, statement.replace("%", "%%"))
        sql.run(connection, "CREATE INDEX ON crm.record_share (user_id, entity)")
        sql.run(connection, "VACUUM (ANALYZE)")
        sql.run(connection, "CREATE TABLE crm.organised ()")


def _make(setup: Setup, engine: sa.Engine) -> None:
    say("three tenants: tables")
    with database.transaction(engine) as connection:
        sql.run(connection, "DROP SCHEMA IF EXISTS crm CASCADE")
        sql.run(connection, "CREATE SCHEMA crm")
        tables = statements.load(_DEMO, "sql/tables.sql")
        for name in _TABLES:
            sql.run(connection, tables[name])
        sql.run(
            connection,
            "INSERT INTO crm.company (id, name) SELECT i, 'Company ' || i"
            f" FROM generate_series(1, {len(SHARES)}) AS i",
        )
        sql.run(
            connection,
            "INSERT INTO crm.app_user (id, company_id, name)"
            f" SELECT i * {_USERS} + j, i, 'User ' || j"
            f" FROM generate_series(1, {len(SHARES)}) AS i, generate_series(0, {_USERS - 1}) AS j",
        )
    leads, deals = setup.rows["lead"], setup.rows["deal"]
    _copy(setup.engine, engine, "lead", 1)
    _copy(setup.engine, engine, "deal", max(1, leads // deals))
    _index(engine)


def _copy(source: sa.Engine, target: sa.Engine, table: str, times: int) -> None:
    """Copy `times` times as many rows as there are, each tenant its share, in order of time."""
    say(f"three tenants: {table}s")
    with database.transaction(source) as connection:
        names = sql.run(connection, f"SELECT * FROM crm.{table} LIMIT 0").keys()
    made = {
        "id": "row_number() OVER (ORDER BY created_at, r.id, t.tenant, i) AS id",
        "company_id": "t.tenant::bigint AS company_id",
        "owner_id": f"t.tenant * {_USERS} + owner_id %% {_USERS} AS owner_id",
    }
    shown = ", ".join(made.get(name, f"r.{sql.identifier(name)}") for name in names)
    columns = ", ".join(sql.identifier(name) for name in names)
    shares = ", ".join(f"({tenant}, {share})" for tenant, share in SHARES.items())
    query = (
        f"SELECT {shown} FROM crm.{table} AS r, generate_series(1, {times}) AS i"
        f" JOIN (VALUES {shares}) AS t (tenant, share) ON true"
        " WHERE mod(hashint8extended(r.id, 0) & 1048575, 100) < t.share ORDER BY 1"
    ).replace("%%", "%")
    with (
        database.transaction(source) as reading,
        database.transaction(target) as writing,
        driver(reading).cursor() as out,
        driver(writing).cursor() as into,
        out.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as chunks,
        into.copy(f"COPY crm.{table} ({columns}) FROM STDIN (FORMAT binary)") as copied,
    ):
        for chunk in chunks:
            copied.write(chunk)


def driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    """The driver's own connection, for COPY."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def _index(engine: sa.Engine) -> None:
    say("three tenants: indexes")
    own = statements.load(_DEMO, "sql/indexes.sql")
    with database.autocommit(engine) as connection:
        for name, statement in own.items():
            if name.split("_")[0] in ("lead", "deal") and not name.startswith(
                ("lead_tag", "deal_account")
            ):
                sql.run(connection, statement)
        for table in ("lead", "deal"):
            # What `crm-ops catalog indexes` prints for the order that a page has by default.
            sql.run(connection, f"CREATE INDEX ON crm.{table} (company_id, created_at, id)")
        for table in _TABLES:
            sql.run(connection, f"VACUUM (ANALYZE) crm.{table}")
        sql.run(connection, "CREATE TABLE crm.complete ()")


__all__ = ["SHARES", "catalog", "driver", "up", "user"]
