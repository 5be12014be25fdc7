"""`make drill`: writers, refreshes, kills; in the end every figure equals a count of the rows.

Two workers refresh all the time, so that folds and rebuilds overlap, while three others write. One
worker after the other is ended by SIGKILL at a random moment and replaced; now and then PostgreSQL
is shut down at once (immediate mode) and recovers. Somebody looks at Redis all along. Then a change
is made past the triggers: the proof has to find it, and the repair to mend it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import date
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Self

from crm_ops.base import database, sql
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.demo import build, sizes
from crm_ops.local import place, ports, postgres, redis
from crm_ops.local.processes import Processes
from crm_ops.schema import migrate
from drill import worker, writer
from drill.watch import Watch

ROOT = Path(__file__).parents[1]
_WRITERS = 3
_WORKERS = 2
# A process that is forked from one that has read its modules works within milliseconds: most kills
# hit it in the midst of a run.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["drill.worker", "drill.writer"])


class Failed(Exception):
    """A promise was not kept."""


def main() -> None:
    """Run the drill; exit 1 where a figure drifted."""
    parser = argparse.ArgumentParser(prog="python -m drill", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="workers ended by SIGKILL")
    parser.add_argument("--crashes", type=int, default=4, help="immediate shutdowns of PostgreSQL")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-drill-")).resolve()
    try:
        drill(folder, asked.kills, asked.crashes, random.Random(asked.seed))
    except Failed as error:
        say(f"FAILED: {error}")
        sys.exit(1)
    finally:
        place.remove(folder / "postgres")
    say("passed: no figure drifted")


def drill(folder: Path, kills: int, crashes: int, chance: random.Random) -> None:
    """The whole drill on servers of its own."""
    with ExitStack() as stack:
        own = stack.enter_context(Processes(folder / "redis.json"))
        (folder / "redis").mkdir()
        store = redis.start(
            own, folder / "redis", log=folder / "redis.log", port=ports.any_free(), password="drill"
        )
        server = stack.enter_context(_Server(folder))
        _prepare(server.url)
        worker.once(server.url, store.url)
        with Watch(store.url) as watch:
            committed = _storm(server, store.url, kills, crashes, chance)
            worker.once(server.url, store.url)
        say(f"{committed:,} transactions were committed; {_told(server.url)}")
        if watch.went_back:
            raise Failed(f"values in Redis went back: {watch.went_back[:5]}")
        say(f"{watch.looks:,} looks at Redis: no value went back to an older one")
        _prove_and_repair(server.url, store.url)


def _storm(server: _Server, redis_url: str, kills: int, crashes: int, chance: random.Random) -> int:
    """Write, refresh and kill; return how many transactions the writers committed."""
    committed = _forks.Value("q", 0)
    seeds = (chance.randrange(10**9) for _ in range(kills + _WRITERS + _WORKERS))
    with ExitStack() as stack:
        for _ in range(_WRITERS):
            stack.enter_context(_Ended(writer.forever, server.url, next(seeds), committed))
        workers = [
            stack.enter_context(_Ended(worker.forever, server.url, redis_url, next(seeds)))
            for _ in range(_WORKERS)
        ]
        crashing = {round((at + 1) * kills / (crashes + 1)) for at in range(crashes)}
        for number in range(1, kills + 1):
            time.sleep(chance.uniform(0.02, 1.6))
            workers[number % _WORKERS].end()
            if number in crashing:
                server.crash()
                say(f"after {number} kills PostgreSQL was shut down at once, and recovered")
            workers[number % _WORKERS] = stack.enter_context(
                _Ended(worker.forever, server.url, redis_url, next(seeds))
            )
        say(f"{kills} workers were killed, {_WORKERS} at work at any time")
    return int(committed.value)


def _told(url: str) -> str:
    """What the ledger has of the storm."""
    engine = database.engine(url)
    with database.transaction(engine) as connection:
        row = sql.run(
            connection,
            "SELECT count(*) FILTER (WHERE run.state = 'success') AS done,"
            " count(*) FILTER (WHERE killed) AS killed,"
            " count(*) FILTER (WHERE run.state IN ('failed', 'partial') AND NOT killed) AS failed,"
            " coalesce(sum((SELECT sum((details ->> 'changes')::bigint) FROM crm_ops.batch"
            "   WHERE run_id = run.id)), 0)::bigint AS changes,"
            " count(*) FILTER (WHERE request ->> 'mode' = 'full' AND state = 'success') AS anew"
            " FROM crm_ops.run_as_it_is AS run,"
            # The next run of the job closes one that was killed.
            " LATERAL (SELECT gone OR coalesce(error LIKE 'the run never ended%%', false)"
            "   AS killed) AS end_",
        ).one()
    engine.dispose()
    return (
        f"{row.done} refreshes ended well, {row.anew} of them counting anew, {row.killed} were"
        f" killed in their midst, {row.failed} failed as PostgreSQL went down;"
        f" {row.changes:,} changes were folded"
    )


def _prepare(url: str) -> None:
    engine = database.engine(url)
    migrate.upgrade(engine)
    made = build.create(
        engine, size=sizes.SIZES["small"], as_of=date(2026, 6, 30), progress=lambda *_: None
    )
    catalog = load.load(worker.CATALOG).catalog
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    engine.dispose()
    say(f"a CRM of {made.rows['lead']:,} leads, its changes captured")


def _prove_and_repair(database_url: str, redis_url: str) -> None:
    environment = {
        **os.environ,
        "CRM_OPS_DATABASE_URL": database_url,
        "CRM_OPS_REDIS_URL": redis_url,
    }
    _, compared = _prove(environment, expected=0)
    say(f"{compared:,} figures were compared with a count of the rows: all are equal")
    engine = database.engine(database_url)
    with database.transaction(engine) as connection:
        sql.run(connection, "SET LOCAL session_replication_role = replica")
        sql.run(connection, "UPDATE crm.lead SET status = 'bypassed' WHERE id %% 50 = 0")
    engine.dispose()
    cells, _ = _prove(environment, expected=3)
    say(f"a change past the triggers was found: {cells} cells")
    _prove(environment, "--repair", expected=3)
    _prove(environment, expected=0)
    say("and repaired")


def _prove(environment: Mapping[str, str], *options: str, expected: int) -> tuple[int, int]:
    """How many cells differ, of how many figures."""
    done = subprocess.run(
        [sys.executable, "-m", "crm_ops", "verify", "--json", *options],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if not done.stdout:
        raise Failed(f"verify ended with {done.returncode}: {done.stderr[-2000:]}")
    proofs = json.loads(done.stdout)["entities"]
    cells = [cell for each in proofs for cell in each["differences"]]
    unproved = [f"{each['entity']}: {each['unproved']}" for each in proofs if each["unproved"]]
    if done.returncode != expected or unproved:
        raise Failed(f"verify ended with {done.returncode}, not {expected}; {unproved} {cells[:9]}")
    return len(cells), sum(each["figures"] for each in proofs)


class _Server:
    """A PostgreSQL that can be shut down at once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._lives = folder, ports.any_free(), 0
        self._life = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._life.close()

    @property
    def url(self) -> str:
        return self._server.url("postgres")

    def crash(self) -> None:
        """Shut it down in immediate mode, and start it again."""
        pid = int((self._server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        self._life.close()
        self._start()

    def _start(self) -> None:
        self._life = ExitStack()
        self._lives += 1
        record = self._folder / f"postgres-{self._lives}.json"
        self._server = postgres.start(
            self._life.enter_context(Processes(record)),
            self._folder / "postgres",
            log=self._folder / "postgres.log",
            port=self._port,
            password="drill",
        )


class _Ended:
    """A process of its own that is killed in the end."""

    def __init__(self, work: Callable[..., None], *args: object) -> None:
        self._process: ForkServerProcess = _forks.Process(target=work, args=args, daemon=True)
        self._process.start()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def say(message: str) -> None:
    """Tell how far the drill is."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
