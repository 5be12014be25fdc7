"""`python -m drill.audit`: the audit log's law under kills, writers and a server that goes down.

Writers insert rows and note each that PostgreSQL acknowledged, most of them for expired months.
Meanwhile processes that do a night's maintenance are killed by SIGKILL after a random time. Other
nights have a trouble of their own: a disk that is full, an archive that is not mounted, a bit that
flips in a file whose table is still there, a clock that is 14 months ahead, a machine in another
time zone; and now and then the server itself is stopped at once. In the end live plus archived rows
must be exactly all that were acknowledged, each once, and the archive must be sound.

Then a table is adopted while writers go on, by processes killed ever a few steps later.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow.parquet as pq

from crm_ops.audit import chain, inspection
from crm_ops.audit.months import Month
from crm_ops.audit.storage import Storage
from crm_ops.base import database
from crm_ops.local import place, ports, postgres
from crm_ops.local.processes import Processes
from crm_ops.schema import migrate
from drill.adoption import adopted
from drill.audit_night import LOG, TROUBLES, maintain, night


def main() -> None:
    """Drill, and exit 1 where the law does not hold."""
    parser = argparse.ArgumentParser(prog="python -m drill.audit", description=__doc__)
    parser.add_argument("--nights", type=int, default=24, help="every other one killed")
    parser.add_argument("--crashes", type=int, default=3, help="immediate shutdowns of PostgreSQL")
    parser.add_argument("--seed", type=int, default=20260101)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-drill-")).resolve()
    try:
        with ExitStack() as running:
            server = _Server(running, folder, ports.any_free())
            server.start()
            sound = _drill(server, folder, asked)
            sound = adopted(server.url, asked.seed) and sound
    finally:
        place.remove(folder / "postgres")
        shutil.rmtree(folder)
    sys.exit(0 if sound else 1)


class _Server:
    """PostgreSQL, which can be started again on what a crash left."""

    def __init__(self, running: ExitStack, folder: Path, port: int) -> None:
        self._running, self._folder, self._port, self._starts = running, folder, port, 0

    def start(self) -> None:
        self._starts += 1
        record = self._folder / f"processes-{self._starts}.json"
        started = postgres.start(
            self._running.enter_context(Processes(record)),
            self._folder / "postgres",
            log=self._folder / f"postgresql-{self._starts}.log",
            port=self._port,
            password="for-the-drill-only",
        )
        self.url, self.data = started.url("postgres"), started.data


def _drill(server: _Server, folder: Path, asked: argparse.Namespace) -> bool:
    chance, url, archive = random.Random(asked.seed), server.url, folder / "archive"
    engine = database.engine(url)
    migrate.upgrade(engine)
    _create(url)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    journals = [folder / f"acknowledged-{number}" for number in range(3)]
    writers = [
        context.Process(target=_write, args=(url, str(journal), number, stop))
        for number, journal in enumerate(journals)
    ]
    for writer in writers:
        writer.start()
    met: Counter[str] = Counter()
    crashes = set(chance.sample(range(asked.nights), min(asked.crashes, asked.nights)))
    for number in range(asked.nights):
        trouble = TROUBLES[number // 2 % len(TROUBLES)] if number % 2 else "kill"
        met[trouble] += night(context, url, archive, trouble, chance)
        if number in crashes:
            _crash(server)
    stop.set()
    for writer in writers:
        writer.join()
    # What is left is finished by as many undisturbed nights as it takes.
    for _ in range(3):
        maintain(url, str(archive), "none")
    said = Counter(int(line) for each in journals for line in each.read_text().split())
    archived = _archived(url, archive)
    live = _live(url)
    found = archived + live
    lost, doubled = said - found, Counter({row: n for row, n in found.items() if n > 1})
    inspected = inspection.inspect(engine, Storage(str(archive), folder), LOG)
    with database.transaction(engine) as connection:
        current = {entry.file for entry in chain.current(chain.read(connection, LOG))}
    engine.dispose()
    # A linked file with a flipped bit was archived again under another name, and stays as evidence.
    wrong = [each for each in inspected.findings if each.what != "altered" or each.name in current]
    print(f"nights: {dict(met)}, {len(crashes)} crashes of PostgreSQL")
    print(
        f"{sum(said.values())} rows acknowledged, {sum(archived.values())} archived in"
        f" {inspected.files} files, {sum(live.values())} live:"
        f" {sum(lost.values())} lost, {len(doubled)} doubled, {len(inspected.findings)} findings,"
        f" {len(wrong)} of them of files that count"
    )
    for finding in inspected.findings:
        print(f"  {finding.what} {finding.name}: {finding.why}")
    return not lost and not doubled and not wrong


def _create(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA crm")
        connection.execute(
            "CREATE TABLE crm.audit_log (id bigint, company_id bigint, note text,"
            " created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at))"
            " PARTITION BY RANGE (created_at)"
        )
        connection.execute("CREATE TABLE crm.audit_log_default PARTITION OF crm.audit_log DEFAULT")
        for back in range(24, 0, -1):
            month = Month.of(datetime.now(UTC)).plus(-back)
            connection.execute(
                f"CREATE TABLE crm.old_{back} PARTITION OF crm.audit_log FOR VALUES"
                f" FROM ('{month.stretch.lower}') TO ('{month.stretch.upper}')"
            )


def _write(url: str, journal: str, number: int, stop: object) -> None:
    """Insert rows of the last two years, and note each id once its commit was acknowledged."""
    chance, row = random.Random(number), number
    with Path(journal).open("a", encoding="utf-8") as noted:
        while not stop.is_set():  # type: ignore[attr-defined]
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                    # The server answers before the disk does; what we count must outlive a crash.
                    connection.execute("SET synchronous_commit = on")
                    while not stop.is_set():  # type: ignore[attr-defined]
                        row += 3
                        connection.execute(
                            "INSERT INTO crm.audit_log VALUES (%s, %s, repeat('x', 50),"
                            " now() - %s * interval '1 day')",
                            (row, row % 7, chance.randrange(730)),
                        )
                        noted.write(f"{row}\n")
                        noted.flush()
            except psycopg.Error:
                # The row under way may be there or not: nobody was told. The next has another id.
                time.sleep(0.1)


def _crash(server: _Server) -> None:
    """Stop PostgreSQL as a power cut would, and start it again."""
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    time.sleep(0.5)
    server.start()


def _archived(url: str, archive: Path) -> Counter[int]:
    engine = database.engine(url)
    with database.transaction(engine) as connection:
        entries = chain.current(chain.read(connection, LOG))
    engine.dispose()
    found: Counter[int] = Counter()
    for entry in entries:
        found.update(pq.read_table(archive / entry.file, columns=["id"])["id"].to_pylist())
    return found


def _live(url: str) -> Counter[int]:
    with psycopg.connect(url) as connection:
        waiting = connection.execute(
            "SELECT name FROM crm_ops.audit_partition WHERE state IN ('detached', 'exported')"
        ).fetchall()
        found: Counter[int] = Counter()
        for (name,) in [(str(LOG),), *waiting]:
            found.update(row[0] for row in connection.execute(f"SELECT id FROM {name}"))
    return found


if __name__ == "__main__":
    main()
