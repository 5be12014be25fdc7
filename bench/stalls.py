"""How long a writer waits while partitions of an audit log come and go behind a long reader.

Each way has a log of its own: DEFAULT, three months that have expired, the current one and the
next. Two processes insert into the current month without a pause; a reader holds the log for three
seconds, as a backup or a report does. The longest wait of any insert counts.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bench.report import Report, say, table
from crm_ops.audit import apply, layout, plan
from crm_ops.audit.months import Month
from crm_ops.base import database
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

OPERATIONS = ("create", "detach", "drop")

_READER_S = 3.0
_ROWS = 100_000
# Debian's package postgresql-15-partman; its SQL is that of the extension, for any server.
_PARTMAN = "/usr/share/postgresql"


def measure(url: str, report: Report, partman: Path | None) -> None:
    """Add the table of all ways to the page."""
    ways: dict[str, dict[str, Callable[[], object]]] = {}
    for name, make in {"ours": _ours, "plain DDL": _plain, "old way": _old}.items():
        log = Relation("crm", f"stall_{name.replace(' ', '_').lower()}")
        _log(url, log)
        ways[name] = make(url, log)
    if partman is not None:
        ways["pg_partman"] = _partman(url, partman)
    rows = [["no DDL", *[f"{_stall(url, 'crm.stall_ours', _nothing)[0]:,.0f}"] * 3, ""]]
    for name, operations in ways.items():
        log_name = f"crm.stall_{name.replace(' ', '_').lower()}"
        found = []
        for operation in OPERATIONS:
            say(f"writers' stall: {name}, {operation}")
            found.append(_stall(url, log_name, operations[operation]))
        waits = [f"{waited:,.0f}" for waited, _ in found]
        rows.append([name, *waits, " / ".join(f"{took:.1f}" for _, took in found)])
    report.add(
        "## The longest wait of a writer behind a three-second reader\n\n"
        "Milliseconds; the last column is how long the operation itself took, in seconds. Of the"
        " old way *detach* is its copy into an archive table and *drop* the same once more: it"
        " drops in the transaction that copies.\n\n" + table(("way", *OPERATIONS, "took s"), rows)
    )


def partman_sql() -> Path | None:
    """The SQL of pg_partman, where its package is installed."""
    found = sorted(Path(_PARTMAN).glob("*/extension/pg_partman--?.?.?.sql"))
    return found[-1] if found else None


def _log(url: str, log: Relation) -> None:
    now = Month.of(datetime.now(UTC))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {log} CASCADE")
        connection.execute(
            f"CREATE TABLE {log} (id bigint, company_id bigint, note text, created_at timestamptz"
            " NOT NULL, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)"
        )
        connection.execute(f"CREATE TABLE {log}_default PARTITION OF {log} DEFAULT")
        for back in (-16, -15, -14, 0, 1):
            part = now.plus(back).stretch
            connection.execute(
                f"CREATE TABLE {_name(log, back)} PARTITION OF {log}"
                f" FOR VALUES FROM ('{part.lower}') TO ('{part.upper}')"
            )
            if back < 0:
                connection.execute(
                    f"INSERT INTO {_name(log, back)} SELECT n, n % 9, repeat('x', 200),"
                    f" '{part.lower}' FROM generate_series(1, {_ROWS}) n"
                )


def _name(log: Relation, back: int) -> str:
    return f"{log}_{'m' if back < 0 else 'p'}{abs(back)}"


def _bounds(back: int) -> str:
    part = Month.of(datetime.now(UTC)).plus(back).stretch
    return f"FOR VALUES FROM ('{part.lower}') TO ('{part.upper}')"


def _ours(url: str, log: Relation) -> dict[str, Callable[[], object]]:
    policy = Audit.model_validate(
        {
            "table": str(log),
            "time": "created_at",
            "tenant": "company_id",
            "months_ahead": 2,
            "retention_months": 12,
            "grace_days": 0,
            "on_expiry": "drop",
            "minimum_runway_days": 10,
        }
    )
    engine = database.engine(url)

    def planned() -> plan.Plan:
        return plan.make(layout.look(engine, policy), policy, datetime.now(UTC))

    return {
        "create": lambda: apply.create(engine, planned()),
        "detach": lambda: apply.detach(engine, planned()),
        "drop": lambda: apply.drop(engine, planned()),
    }


def _plain(url: str, log: Relation) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: _run(url, f"CREATE TABLE {log}_new PARTITION OF {log} {_bounds(2)}"),
        "detach": lambda: _run(url, f"ALTER TABLE {log} DETACH PARTITION {_name(log, -16)}"),
        "drop": lambda: _run(url, f"DROP TABLE {_name(log, -15)}"),
    }


def _old(url: str, log: Relation) -> dict[str, Callable[[], object]]:
    def copy_and_drop(back: int) -> None:
        _run(
            url,
            f"CREATE TABLE IF NOT EXISTS {log}_archive (LIKE {log})",
            "BEGIN",
            f"INSERT INTO {log}_archive SELECT * FROM {_name(log, back)}",
            f"DROP TABLE {_name(log, back)}",
            "COMMIT",
        )

    return {
        "create": lambda: _run(url, f"CREATE TABLE {log}_new PARTITION OF {log} {_bounds(2)}"),
        "detach": lambda: copy_and_drop(-16),
        "drop": lambda: copy_and_drop(-15),
    }


def _partman(url: str, source: Path) -> dict[str, Callable[[], object]]:
    """A log that pg_partman keeps, its functions loaded from the SQL of its package."""
    text = source.read_text(encoding="utf-8").replace("@extschema@", "partman")
    body = "\n".join(
        line
        for line in text.splitlines()
        if "pg_extension_config_dump" not in line and not line.startswith("\\")
    )
    log = "crm.stall_pg_partman"
    _run(
        url,
        "DROP SCHEMA IF EXISTS partman CASCADE",
        "CREATE SCHEMA partman",
        f"DROP TABLE IF EXISTS {log} CASCADE",
        f"CREATE TABLE {log} (id bigint, company_id bigint, note text, created_at timestamptz NOT"
        " NULL, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)",
        "SET check_function_bodies = off",
        "SET search_path = partman, public",
        body,
        f"SELECT partman.create_parent('{log}', 'created_at', 'native', 'monthly', p_premake := 1,"
        " p_start_partition := to_char(now() - interval '5 months', 'YYYY-MM-01'))",
        "UPDATE partman.part_config SET infinite_time_partitions = true",
    )

    def maintain(change: str) -> Callable[[], object]:
        return lambda: _run(
            url,
            f"UPDATE partman.part_config SET {change}",
            f"SELECT partman.run_maintenance('{log}')",
        )

    return {
        "create": maintain("premake = 3"),
        "detach": maintain("retention = '4 months', retention_keep_table = true"),
        "drop": maintain("retention = '3 months', retention_keep_table = false"),
    }


def _nothing() -> None:
    time.sleep(_READER_S)


def _stall(url: str, log: str, do: Callable[[], object]) -> tuple[float, float]:
    """The longest wait of an insert in milliseconds, and the seconds that `do` took."""
    with _writers(url, log) as longest:
        reader = threading.Thread(target=_read, args=(url, log))
        reader.start()
        time.sleep(0.4)
        for number in range(len(longest)):
            longest[number] = 0.0
        started = time.perf_counter()
        do()
        took = time.perf_counter() - started
        reader.join()
        time.sleep(0.1)
        return max(longest) * 1000, took


@contextmanager
def _writers(url: str, log: str) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    stop, longest = context.Event(), context.Array("d", 2, lock=False)
    ready = context.Barrier(3)
    writers = [
        context.Process(target=_write, args=(url, log, number, longest, stop, ready))
        for number in range(2)
    ]
    for writer in writers:
        writer.start()
    ready.wait(60)
    try:
        yield longest
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def _write(url: str, log: str, number: int, longest: Any, stop: Any, ready: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        row = time.time_ns() * 2 + number
        connection.execute(f"INSERT INTO {log} VALUES ({row}, 1, 'x', now())")
        ready.wait()
        while not stop.is_set():
            row += 2
            started = time.perf_counter()
            connection.execute(f"INSERT INTO {log} VALUES ({row}, 1, 'x', now())")
            longest[number] = max(longest[number], time.perf_counter() - started)


def _read(url: str, log: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(f"SELECT count(*) FROM {log}")
        time.sleep(_READER_S)


def _run(url: str, *texts: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for text in texts:
            connection.execute(text.encode())


__all__ = ["measure", "partman_sql"]
