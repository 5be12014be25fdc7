"""An audit log of many months to measure on, and one month's way to a file by several ways."""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from bench.case import OURS, Case
from bench.report import Report, say, table
from crm_ops.audit import apply, archiving, columns, layout, parquet, plan
from crm_ops.audit.months import Month
from crm_ops.audit.storage import Storage
from crm_ops.base import database, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit
from crm_ops.schema import migrate

LOG = Relation("crm", "audit_log")
FIRST = Month(2023, 1)
POLICY = Audit.model_validate(
    {"table": str(LOG), "time": "created_at", "tenant": "company_id", "grace_days": 0}
)
_ORDER = ("company_id", "created_at", "id")
_COLUMNS = (
    "id bigint, company_id bigint, user_id bigint, action text, entity text, record_id bigint,"
    " changes jsonb, ip inet, created_at timestamptz NOT NULL"
)


@dataclass(frozen=True)
class Log:
    """A filled log to measure on: `rows` in each month; `programs` are PostgreSQL's own."""

    engine: sa.Engine
    url: str
    folder: Path
    programs: Path
    rows: int
    rounds: int


def fill(engine: sa.Engine, months: int, rows: int) -> None:
    """A log of `months` months with `rows` rows each; what is there already stays."""
    migrate.upgrade(engine)
    with database.transaction(engine) as connection:
        for text in (
            "CREATE SCHEMA IF NOT EXISTS crm",
            f"CREATE TABLE IF NOT EXISTS {LOG} ({_COLUMNS}, PRIMARY KEY (id, created_at))"
            " PARTITION BY RANGE (created_at)",
            f"CREATE INDEX IF NOT EXISTS audit_log_read ON {LOG} (company_id, created_at)",
            f"CREATE TABLE IF NOT EXISTS {LOG}_default PARTITION OF {LOG} DEFAULT",
            # The archive of a measurement before this one is gone.
            "TRUNCATE crm_ops.audit_partition, crm_ops.audit_link, crm_ops.audit_archive",
        ):
            sql.run(connection, text)
        known = set(sql.run(connection, "SELECT tablename FROM pg_tables").scalars())
    missing = [each for each in range(months) if name(FIRST.plus(each)).name not in known]
    for number in missing:
        say(f"the audit log: month {number + 1} of {months}")
        _month(engine, FIRST.plus(number), number * rows, rows)
    if missing:
        with database.autocommit(engine) as connection:
            sql.run(connection, f"VACUUM ANALYZE {LOG}")


def name(month: Month) -> Relation:
    """The partition of a month."""
    return Relation("crm", f"audit_log_p{month.year}{month.month:02}")


def ways(log: Log) -> dict[str, Callable[[], object]]:
    """How the first month can go to a file (or, the old way, to another table)."""
    engine, url, folder = log.engine, log.url, log.folder
    month = name(FIRST)
    shape = _shape(engine)
    file = folder / "ours.parquet"

    def ours() -> None:
        parquet.write(engine, month, shape, _ORDER, file, _silent)

    ours()
    held = pq.read_table(file)
    how = parquet.options(held.to_batches()[0])

    def floor() -> None:
        _copy(url, f"COPY {month} TO STDOUT (FORMAT binary)", _silent)
        pq.write_table(held, folder / "floor.parquet", **how)

    def compressed() -> None:
        with pa.CompressedOutputStream(str(folder / "copy.csv.zst"), "zstd") as stream:
            _copy(url, f"COPY {month} TO STDOUT (FORMAT csv)", stream.write)

    def copied() -> None:
        with database.transaction(engine, keep=False) as connection:
            sql.run(connection, f"CREATE TABLE crm.copied AS SELECT * FROM {month.quoted}")

    dump = [str(log.programs / "pg_dump"), "-Fc", "-t", str(month), "-f", str(folder / "dump"), url]
    return {
        OURS: ours,
        "COPY csv through zstd": compressed,
        "pg_dump -Fc": lambda: subprocess.run(dump, check=True),
        "old way: INSERT SELECT": copied,
        "floor: COPY to nowhere, Parquet write": floor,
    }


def archive(log: Log, report: Report) -> None:
    """Add how fast, how large and in how much memory the first month is archived."""
    case = Case(
        f"One month of {log.rows:,} rows to a file",
        "All but the floor and the old way leave a file that the rows can be had from again. Ours"
        " is sorted by tenant, time and key, the others are not.",
        ways(log),
    )
    timings = report.case(case, log.rounds)
    files = {"ours": "ours.parquet", "COPY csv through zstd": "copy.csv.zst", "pg_dump -Fc": "dump"}
    with database.transaction(log.engine) as connection:
        heap = sql.run(
            connection,
            "SELECT pg_table_size(%(name)s) AS bare, pg_total_relation_size(%(name)s) AS whole",
            name=str(name(FIRST)),
        ).one()
    sizes = [[way, f"{(log.folder / file).stat().st_size:,}"] for way, file in files.items()]
    sizes += [["the table", f"{heap.bare:,}"], ["with its indexes", f"{heap.whole:,}"]]
    speeds = [[each.way, f"{log.rows / each.median_ms * 1000:,.0f}"] for each in timings]
    report.add(f"{table(('way', 'rows a second'), speeds)}\n{table(('', 'bytes'), sizes)}")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        before, peak = alone.submit(_peak, log.url, str(log.folder / "alone.parquet")).result()
    report.add(
        f"Peak memory of a process that exports the month and does nothing else: {peak} MB, of"
        f" which {before} MB before it began.\n"
    )


def steps(log: Log, report: Report) -> None:
    """Add what each step of the first month takes, to its end; it is gone afterwards."""
    engine, storage = log.engine, Storage(str(log.folder / "archive"), log.folder)
    month = name(FIRST)
    now = datetime.combine(FIRST.plus(14).stretch.lower, datetime.min.time(), UTC)
    made = plan.make(layout.look(engine, POLICY), POLICY, now)
    shown = []
    doing: dict[str, Callable[[], object]] = {
        "expire": lambda: apply.detach(engine, made),
        "archive": lambda: archiving.export(engine, storage, POLICY, month),
        "verify": lambda: archiving.verify(engine, storage, POLICY, month, now=now),
        "drop": lambda: apply.drop(engine, made, storage),
    }
    for step, do in doing.items():
        say(f"all steps of a month: {step}")
        started = time.perf_counter()
        do()
        took = time.perf_counter() - started
        shown.append([step, f"{took * 1000:,.0f}", f"{log.rows / took:,.0f}"])
    report.add(
        "## All steps of one month\n\nWith the checksum of the table when it is verified, and again"
        f" under lock before it is dropped.\n\n{table(('step', 'ms', 'rows a second'), shown)}"
    )


def _month(engine: sa.Engine, month: Month, first: int, rows: int) -> None:
    part = month.stretch
    seconds = int((part.upper - part.lower).total_seconds())
    with database.transaction(engine) as connection:
        sql.run(connection, "SELECT set_config('statement_timeout', '0', true)")
        sql.run(
            connection,
            f"CREATE TABLE {name(month)} PARTITION OF {LOG}"
            f" FOR VALUES FROM ('{part.lower}') TO ('{part.upper}')",
        )
        sql.run(
            connection,
            f"INSERT INTO {name(month)} SELECT n, n %% 200, n %% 3000, 'update', 'lead',"
            " n %% 50000, jsonb_build_object('status', jsonb_build_array('new', md5(n::text)),"
            f" 'score', n), '10.0.0.1'::inet + n %% 1000, timestamptz '{part.lower}'"
            f" + make_interval(secs => {seconds}.0 * (n - {first}) / {rows + 1})"
            f" FROM generate_series({first} + 1, {first} + {rows}) n",
        )


def _shape(engine: sa.Engine) -> tuple[columns.Column, ...]:
    with database.transaction(engine) as connection:
        return columns.read(connection, name(FIRST), POLICY.time)


def _peak(url: str, file: str) -> tuple[int, int]:
    """The memory, in MB, of a process before it exports the month, and its peak."""
    engine = database.engine(url)
    shape = _shape(engine)
    before = _memory("VmRSS:")
    parquet.write(engine, name(FIRST), shape, _ORDER, Path(file), _silent)
    engine.dispose()
    # Not getrusage: there a new process begins with the peak of the one that started it.
    return before, _memory("VmHWM:")


def _memory(key: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(key)[1].split()[0]) // 1024


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


__all__ = ["FIRST", "LOG", "POLICY", "Log", "archive", "fill", "name", "steps", "ways"]
