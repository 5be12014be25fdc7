"""Cases: what capturing changes costs those who write.

Writes to two tables of equal rows, of which one has our triggers. Clients are PostgreSQL's own
pgbench, which sends prepared updates of one row, each with a commit that waits for the disk; the
server by itself makes them in a loop, without a client or a wait: there nothing but the write and
the trigger is left to measure.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from bench import counting
from bench.case import OURS, Case
from bench.setup import Setup
from crm_ops.base import database, sql
from crm_ops.changes import ddl, logs
from crm_ops.fold.rows import Counted
from crm_ops.local import place

_ROWS = 100_000
# So many that a client's start, and its first update, which plans the trigger, are of no weight.
_UPDATES = 5_000


def run(setup: Setup) -> None:
    """Measure writes to leads."""
    report = setup.report("writing", "Writing beside our triggers", __doc__)
    lead = counting.counted(setup.engine, setup.catalog, "lead")
    for case in write_cases(setup.engine, lead):
        report.case(case, max(setup.rounds, 9))


def write_cases(engine: sa.Engine, counted: Counted) -> list[Case]:
    """Writes to a table with our triggers against writes to one without."""
    plain, captured = (sql.Relation("public", f"bench_{name}") for name in ("plain", "captured"))
    for relation in (plain, captured):
        with database.transaction(engine) as connection:
            sql.run(connection, f"DROP TABLE IF EXISTS {relation.quoted} CASCADE")
            sql.run(
                connection,
                f"CREATE TABLE {relation.quoted} (LIKE {counted.table.quoted} INCLUDING ALL)",
            )
            columns = _columns(connection, relation)
            sql.run(
                connection,
                f"INSERT INTO {relation.quoted} ({columns}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns} FROM {counted.table.quoted} ORDER BY id LIMIT {_ROWS}",
            )
    with database.transaction(engine) as connection:
        log = logs.read(connection, counted.catalog, counted.name)[0]
    log = replace(log, relation=sql.Relation("public", "bench_log"), source=captured)
    with database.transaction(engine) as connection:
        sql.run(connection, f"DROP TABLE IF EXISTS {log.relation.quoted}")
        for statement in (ddl.table(log), ddl.function(log), *ddl.triggers(log, captured)):
            sql.run(connection, statement)

    def case(title: str, about: str, write: Callable[[sql.Relation], object]) -> Case:
        ways = {"without triggers": lambda: write(plain), OURS: lambda: write(captured)}

        def prepare() -> None:
            with database.autocommit(engine) as connection:
                sql.run(connection, f"TRUNCATE {log.relation.quoted}")
                for relation in (plain, captured):
                    sql.run(connection, f"VACUUM {relation.quoted}")

        return Case(title, about, ways, prepare)

    return [
        *(
            case(
                f"single-row updates by {clients} client(s)",
                f"{_UPDATES:,} of each, a commit to disk each",
                partial(_by_clients, engine, clients=clients),
            )
            for clients in (1, 4)
        ),
        *(
            case(
                f"single-row updates by the server itself, {clients} session(s)",
                f"{2_000 * clients:,} updates, a commit each",
                partial(_singly, engine, clients=clients),
            )
            for clients in (1, 4)
        ),
        case(
            "one update of 10,000 rows",
            "one statement",
            lambda relation: _update(engine, relation, 10_000),
        ),
        case("COPY of 100,000 rows", "in, then rolled back", lambda to: _copy(engine, to)),
    ]


def _columns(connection: sa.Connection, relation: sql.Relation) -> str:
    keys = sql.run(connection, f"SELECT * FROM {relation.quoted} LIMIT 0").keys()
    return ", ".join(sql.identifier(key) for key in keys)


def _by_clients(engine: sa.Engine, relation: sql.Relation, clients: int) -> None:
    """Each client updates rows at random, one after the other."""
    with database.transaction(engine) as connection:
        text = f"SELECT min(id) AS low, max(id) AS high FROM {relation.quoted}"
        ids = sql.run(connection, text).one()
    url = engine.url
    environment = {
        "PGHOST": url.host or "",
        "PGPORT": str(url.port),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password),
        "PGDATABASE": url.database or "",
        "PGOPTIONS": "-c synchronous_commit=on",
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "update.sql")
        script.write_text(
            f"\\set id random({ids.low}, {ids.high})\n\\set score random(0, 99)\n"
            f"UPDATE {relation.quoted} SET status = 'new', score = :score WHERE id = :id;\n",
            encoding="utf-8",
        )
        shape = ["-c", str(clients), "-j", str(min(clients, 2)), "-t", str(_UPDATES)]
        subprocess.run(
            [place.programs() / "pgbench", "-n", "-M", "prepared", *shape, "-f", script],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )


def _singly(engine: sa.Engine, relation: sql.Relation, clients: int) -> None:
    def write(client: int) -> None:
        with database.autocommit(engine) as connection:
            sql.run(
                connection,
                "DO $$ BEGIN FOR i IN 1..2000 LOOP"
                f" UPDATE {relation.quoted} SET status = 'new', score = i %% 100"
                f" WHERE id = (SELECT min(id) FROM {relation.quoted})"
                f" + (i * 37 + {client}) %% {_ROWS};"
                " COMMIT; END LOOP; END $$",
            )

    threads = [threading.Thread(target=write, args=(each * 7919,)) for each in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _update(engine: sa.Engine, relation: sql.Relation, rows: int) -> None:
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            f"UPDATE {relation.quoted} SET score = score + 1 WHERE id IN"
            f" (SELECT id FROM {relation.quoted} LIMIT {rows})",
        )


def _copy(engine: sa.Engine, relation: sql.Relation) -> None:
    """Load the table's own rows again under other keys; the text is held by the test's client."""
    with database.transaction(engine, keep=False) as connection:
        columns = _columns(connection, relation)
        shown = columns.replace('"id"', '"id" + 1000000000', 1)
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY (SELECT {shown} FROM {relation.quoted}) TO STDOUT") as out:
            text = b"".join(out)
        with cursor.copy(f"COPY {relation.quoted} ({columns}) FROM STDIN") as into:
            into.write(text)


__all__ = ["write_cases"]
