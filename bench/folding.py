"""Cases: a refresh after some rows changed, and what capturing changes costs those who write.

A refresh makes facet counts and aggregates exact and publishes them: ours from the log of changes,
our rebuild and the old way from all rows, the peer by REFRESH MATERIALIZED VIEW CONCURRENTLY of the
facet counts alone. The floor reads the log and deletes it. Writes are made by the server itself, a
commit each, to two tables of equal rows, of which one has our triggers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa

from bench import counting
from bench.case import OURS, Case
from bench.setup import Setup
from crm_ops.base import database, sql, store
from crm_ops.changes import ddl, install, logs
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.definition import KINDS
from crm_ops.fold.rows import Counted
from crm_ops.publish import latest

SHARES = (0.01, 0.1, 1.0, 10.0)
_ROWS = 100_000


def run(setup: Setup) -> None:
    """Measure refreshes of leads after shares of them changed, then writes."""
    report = setup.report("folding", "Refreshing after changes", __doc__)
    lead = counting.counted(setup.engine, setup.catalog, "lead")
    for share in SHARES:
        case = refresh_case(setup.engine, setup.redis, lead, setup.tenants, share)
        report.case(case, setup.rounds)
    for case in write_cases(setup.engine, lead):
        report.case(case, setup.rounds)


def refresh_case(
    engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str], share: float
) -> Case:
    """A refresh after `share` percent of an entity's rows changed; half of them in their status."""
    capture(engine, counted, tenants)
    old = counting.old_way(engine, redis, counted)
    view = counting.facets_view(engine, counted)
    log = _log(engine, counted)
    every = round(100 / share)
    turn = iter(range(1_000_000))

    def change() -> None:
        at = next(turn)
        with database.transaction(engine) as connection:
            sql.run(
                connection,
                f"UPDATE {counted.table.quoted} SET updated_at = updated_at + interval '1 day',"
                " status = CASE WHEN id %% 2 = 0 THEN 'contacted' ELSE status END"
                f" WHERE id %% {every} = %(at)s",
                at=at % every,
            )

    def ours() -> None:
        done = refresh.fold(engine, counted)
        if done.set_aside or done.unusable or not done.drained.changes:
            raise RuntimeError(f"nothing was folded: {done}")
        _publish(engine, redis, counted, tenants)

    def anew() -> None:
        rebuild.facet_counts(engine, counted, tenants)
        _publish(engine, redis, counted, tenants)

    def floor() -> None:
        with database.transaction(engine, keep=False) as connection:
            taken = f"WITH taken AS (DELETE FROM {log.relation.quoted} RETURNING *)"
            sql.run(connection, f"{taken} SELECT count(*) FROM taken").all()

    return Case(
        f"refresh of {counted.name} after {share:g} % of its rows changed",
        f"facet counts and aggregates of {len(tenants)} tenants",
        {
            "floor (read and delete the log)": floor,
            OURS: ours,
            "our full rebuild": anew,
            "materialized view (facets only)": lambda: counting.refresh_view(engine, view),
            "old way": old,
        },
        prepare=change,
    )


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
    log = replace(
        _log(engine, counted), relation=sql.Relation("public", "bench_log"), source=captured
    )
    with database.transaction(engine) as connection:
        sql.run(connection, f"DROP TABLE IF EXISTS {log.relation.quoted}")
        for statement in (ddl.table(log), ddl.function(log), *ddl.triggers(log)):
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
                f"single-row updates, {clients} client(s)",
                f"{2_000 * clients:,} updates, a commit each",
                lambda relation, clients=clients: _singly(engine, relation, clients),
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


def capture(engine: sa.Engine, counted: Counted, tenants: list[str]) -> None:
    """Have changes captured and everything counted."""
    only = {counted.name: counted.entity}
    aggregates = {
        name: each
        for name, each in counted.catalog.aggregates.items()
        if each.entity == counted.name
    }
    catalog = counted.catalog.model_copy(update={"entities": only, "aggregates": aggregates})
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    refresh.fold(engine, counted)
    rebuild.facet_counts(engine, counted, refresh.uncaptured(engine, counted, tenants))


def _publish(engine: sa.Engine, redis: store.Client, counted: Counted, tenants: list[str]) -> None:
    for kind in KINDS:
        latest.publish(engine, redis, counted, kind, tenants, now=datetime.now(UTC))


def _log(engine: sa.Engine, counted: Counted) -> logs.Log:
    with database.transaction(engine) as connection:
        return logs.read(connection, counted.catalog, counted.name)[0]


def _columns(connection: sa.Connection, relation: sql.Relation) -> str:
    keys = sql.run(connection, f"SELECT * FROM {relation.quoted} LIMIT 0").keys()
    return ", ".join(sql.identifier(key) for key in keys)


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


__all__ = ["SHARES", "capture", "refresh_case", "write_cases"]
