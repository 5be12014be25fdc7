"""`python -m bench.audit`: the audit log's archive and its locks, beside other ways.

The archive writes one month of rows to a file. Peers: COPY through zstd, pg_dump, and the old way's
copy inside the database. The floor is COPY to nowhere plus writing the same rows as Parquet from
memory. The stall is the longest that a writer waited for one insert while a partition was created
and detached behind a reader that held the log for three seconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from bench.case import OURS, Case, measure
from crm_ops.audit import apply, archiving, columns, layout, parquet, plan
from crm_ops.audit.storage import Storage
from crm_ops.base import database, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit
from crm_ops.local import place, ports, postgres
from crm_ops.local.processes import Processes
from crm_ops.schema import migrate

NOW = datetime(2024, 3, 15, tzinfo=UTC)
MONTH = Relation("crm", "audit_log_p202302")
POLICY = Audit.model_validate(
    {"table": "crm.audit_log", "time": "created_at", "tenant": "company_id", "grace_days": 0}
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-bench-")).resolve()
    try:
        with Processes(folder / "processes.json") as running:
            server = postgres.start(
                running,
                folder / "postgres",
                log=folder / "postgresql.log",
                port=ports.any_free(),
                password="for-the-benchmark-only",
            )
            url = server.url("postgres")
            engine = database.engine(url)
            _fill(engine, asked.rows)
            _archive(engine, url, folder, asked.rows, asked.rounds)
            _whole(engine, folder, asked.rows)
            _stalls(engine, url)
            engine.dispose()
    finally:
        place.remove(folder / "postgres")
        shutil.rmtree(folder)


def _fill(engine: sa.Engine, rows: int) -> None:
    migrate.upgrade(engine)
    with database.transaction(engine) as connection:
        for text in (
            "CREATE SCHEMA crm",
            "CREATE TABLE crm.audit_log (id bigint, company_id bigint, user_id bigint, action text,"
            " entity text, record_id bigint, changes jsonb, ip inet, created_at timestamptz,"
            " PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)",
            "CREATE INDEX ON crm.audit_log (company_id, created_at)",
            "CREATE TABLE crm.audit_log_default PARTITION OF crm.audit_log DEFAULT",
            "CREATE TABLE crm.audit_log_p202302 PARTITION OF crm.audit_log"
            " FOR VALUES FROM ('2023-02-01') TO ('2023-03-01')",
            "CREATE TABLE crm.audit_log_p202403 PARTITION OF crm.audit_log"
            " FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
            "INSERT INTO crm.audit_log SELECT n, n %% 200, n %% 3000, 'update', 'lead', n %% 50000,"
            " jsonb_build_object('status', jsonb_build_array('new', md5(n::text)), 'score', n),"
            " '10.0.0.1'::inet + n %% 1000,"
            f" timestamptz '2023-02-01 00:00+00' + n * interval '2400000 s' / {rows}"
            f" FROM generate_series(1, {rows}) n",
        ):
            sql.run(connection, text)
    with database.autocommit(engine) as connection:
        sql.run(connection, "VACUUM ANALYZE crm.audit_log")


def _archive(engine: sa.Engine, url: str, folder: Path, rows: int, rounds: int) -> None:
    with database.transaction(engine) as connection:
        shape = columns.read(connection, MONTH, "created_at")
    file = folder / "ours.parquet"

    def ours() -> None:
        parquet.write(engine, MONTH, shape, ("company_id", "created_at", "id"), file, _silent)

    ours()
    held = pq.read_table(file)

    def floor() -> None:
        _copy(url, f"COPY {MONTH} TO STDOUT (FORMAT binary)", lambda _piece: None)
        pq.write_table(held, folder / "floor.parquet", compression="zstd", compression_level=3)

    def compressed() -> None:
        with pa.CompressedOutputStream(str(folder / "copy.csv.zst"), "zstd") as stream:
            _copy(url, f"COPY {MONTH} TO STDOUT (FORMAT csv)", stream.write)

    def copied() -> None:
        with database.transaction(engine, keep=False) as connection:
            sql.run(connection, f"CREATE TABLE crm.copied AS SELECT * FROM {MONTH.quoted}")

    ways: dict[str, Callable[[], object]] = {
        OURS: ours,
        "COPY csv, zstd": compressed,
        "old way (INSERT SELECT)": copied,
        "floor (COPY to nowhere, Parquet write)": floor,
    }
    dump = shutil.which("pg_dump")
    if dump:
        words = [dump, "-Fc", "-t", str(MONTH), "-f", str(folder / "dump"), url]
        if subprocess.run(words, check=False, capture_output=True).returncode == 0:
            ways["pg_dump -Fc"] = lambda: subprocess.run(words, check=True)
        else:
            print(f"pg_dump: left out, {dump} is older than the server")
    case = Case("archive one month", "", ways)
    for timing in measure(case, rounds, _silent):
        speed = rows / (timing.median_ms / 1000)
        print(f"{timing.way}: {timing.median_ms:,.0f} ms, {speed:,.0f} rows/s, x{timing.ratio:.2f}")
    for made in sorted(folder.glob("*.parquet")) + sorted(folder.glob("*.zst")):
        print(f"{made.name}: {made.stat().st_size:,} bytes")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        print(f"peak memory of an export: {alone.submit(_peak, url, str(file)).result()} MB")


def _peak(url: str, file: str) -> int:
    """The peak memory, in MB, of a process that exports the month and does nothing else."""
    engine = database.engine(url)
    with database.transaction(engine) as connection:
        shape = columns.read(connection, MONTH, "created_at")
    parquet.write(engine, MONTH, shape, ("company_id", "created_at", "id"), Path(file), _silent)
    engine.dispose()
    # Not getrusage: there a new process begins with the peak of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _whole(engine: sa.Engine, folder: Path, rows: int) -> None:
    """All steps of one month, each with its time."""
    storage = Storage(str(folder / "archive"), folder)
    made = plan.make(layout.look(engine, POLICY), POLICY, NOW)
    steps: dict[str, Callable[[], object]] = {
        "detach": lambda: apply.detach(engine, made),
        "export": lambda: archiving.export(engine, storage, POLICY, MONTH),
        "verify": lambda: archiving.verify(engine, storage, POLICY, MONTH, now=NOW),
        "drop": lambda: apply.drop(engine, made, storage),
    }
    for step, do in steps.items():
        started = time.perf_counter()
        do()
        took = time.perf_counter() - started
        print(f"{step}: {took * 1000:,.0f} ms, {rows / took:,.0f} rows/s")


def _stalls(engine: sa.Engine, url: str) -> None:
    """The longest wait of a writer behind a reader, ours and by plain DDL."""
    with psycopg.connect(url, autocommit=True) as connection:
        for month in ("2022-01", "2022-02"):
            connection.execute(
                f"CREATE TABLE crm.p_{month.replace('-', '')} PARTITION OF crm.audit_log"
                f" FOR VALUES FROM ('{month}-01') TO ('{month}-28')"
            )

    def ours() -> None:
        made = plan.make(layout.look(engine, POLICY), POLICY, NOW)
        apply.create(engine, made)
        apply.detach(engine, made)

    def plain() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE crm.p_plain PARTITION OF crm.audit_log"
                " FOR VALUES FROM ('2030-01-01') TO ('2030-02-01')"
            )

    for name, do in {"no DDL": lambda: time.sleep(3), OURS: ours, "plain DDL": plain}.items():
        print(f"longest stall of a writer, {name}: {_stall(url, do):,.0f} ms")


def _stall(url: str, do: Callable[[], object]) -> float:
    stop, worst = threading.Event(), [0.0]

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            row = 10**9 + time.time_ns() % 10**9
            while not stop.is_set():
                started = time.perf_counter()
                row += 1
                connection.execute(
                    "INSERT INTO crm.audit_log (id, created_at) VALUES (%s, '2024-03-10')", (row,)
                )
                worst[0] = max(worst[0], time.perf_counter() - started)

    def read() -> None:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT count(*) FROM crm.audit_log")
            time.sleep(3)

    threads = [threading.Thread(target=each) for each in (write, read)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    do()
    stop.set()
    for thread in threads:
        thread.join()
    return worst[0] * 1000


def _copy(url: str, text: str, take: Callable[[bytes], object]) -> None:
    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(text.encode()) as copy,
    ):
        for piece in copy:
            take(bytes(piece))


def _silent(_: object) -> None:
    """Hear nothing."""


if __name__ == "__main__":
    main()
