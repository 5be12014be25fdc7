"""`make drill`: writers, refreshes, kills; in the end every figure equals a count of the rows.

Each round starts a refresh of its own process while others write, and ends it by SIGKILL; every
other round PostgreSQL is shut down at once (immediate mode) and recovers. Then a change is made
past the triggers: the proof has to find it, and the repair to mend it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Self

from crm_ops.base import database, sql
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.demo import build, sizes
from crm_ops.local import place, ports, postgres, redis
from crm_ops.local.processes import Processes
from crm_ops.schema import migrate

ROOT = Path(__file__).parents[1]
_JOBS = ("run", "--task", "precompute_facets", "--task", "precompute_aggregates")


class Failed(Exception):
    """A promise was not kept."""


def main() -> None:
    """Run the drill; exit 1 where a figure drifted."""
    parser = argparse.ArgumentParser(prog="python -m drill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-drill-")).resolve()
    try:
        drill(folder, asked.rounds, random.Random(asked.seed))
    except Failed as error:
        say(f"FAILED: {error}")
        sys.exit(1)
    finally:
        place.remove(folder / "postgres")
    say("passed: no figure drifted")


def drill(folder: Path, rounds: int, chance: random.Random) -> None:
    """The whole drill on servers of its own."""
    port = ports.any_free()
    with ExitStack() as stack:
        own = stack.enter_context(Processes(folder / "redis.json"))
        (folder / "redis").mkdir()
        store = redis.start(
            own, folder / "redis", log=folder / "redis.log", port=ports.any_free(), password="drill"
        )
        life = stack.enter_context(ExitStack())
        server = _start(life, folder, port, 0)
        environment = {
            **os.environ,
            "CRM_OPS_DATABASE_URL": server.url("postgres"),
            "CRM_OPS_REDIS_URL": store.url,
        }
        _prepare(server.url("postgres"))
        _ops(environment, *_JOBS)
        writers = [
            stack.enter_context(_Ended(environment, "drill.writer", server.url("postgres"), str(n)))
            for n in range(3)
        ]
        for number in range(1, rounds + 1):
            worker = _Ended(environment, "crm_ops", *_JOBS)
            with worker:
                time.sleep(chance.uniform(0.5, 6))
            say(f"round {number}: a refresh was killed")
            if number % 2 == 0:
                pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])
                os.kill(pid, signal.SIGQUIT)
                life.close()
                server = _start(life, folder, port, number)
                say(f"round {number}: PostgreSQL was shut down at once, and recovered")
            code, _ = _ops(environment, *_JOBS, check=False)
            say(f"round {number}: a refresh beside the writers ended with {code}")
        for writer in writers:
            writer.end()
        _ops(environment, *_JOBS)
        _prove(environment, expected=0)
        say("every figure equals a count of the rows")
        engine = database.engine(server.url("postgres"))
        with database.transaction(engine) as connection:
            sql.run(connection, "SET LOCAL session_replication_role = replica")
            sql.run(connection, "UPDATE crm.lead SET status = 'bypassed' WHERE id %% 50 = 0")
        engine.dispose()
        found = _prove(environment, expected=3)
        say(f"a change past the triggers was found: {found} cells")
        _prove(environment, "--repair", expected=3)
        _prove(environment, expected=0)
        say("and repaired")


def _start(life: ExitStack, folder: Path, port: int, number: int) -> postgres.Server:
    processes = life.enter_context(Processes(folder / f"postgres-{number}.json"))
    return postgres.start(
        processes, folder / "postgres", log=folder / "postgres.log", port=port, password="drill"
    )


def _prepare(url: str) -> None:
    engine = database.engine(url)
    migrate.upgrade(engine)
    made = build.create(
        engine, size=sizes.SIZES["small"], as_of=date(2026, 6, 30), progress=lambda *_: None
    )
    catalog = load.load(ROOT / "include" / "crm_ops.yaml").catalog
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    engine.dispose()
    say(f"a CRM of {made.rows['lead']:,} leads, its changes captured")


def _prove(environment: Mapping[str, str], *options: str, expected: int) -> int:
    code, out = _ops(environment, "verify", "--json", *options, check=False)
    answer = json.loads(out)
    cells = [cell for each in answer["entities"] for cell in each["differences"]]
    unproved = [each["entity"] for each in answer["entities"] if each["unproved"]]
    if code != expected or unproved:
        raise Failed(f"verify ended with {code}, not {expected}; {unproved}; {cells[:10]}")
    return len(cells)


def _ops(environment: Mapping[str, str], *args: str, check: bool = True) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "crm_ops", *args],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if check and done.returncode:
        what = f"crm-ops {' '.join(args)} ended with {done.returncode}"
        raise Failed(f"{what}: {done.stderr[-2000:]}")
    return done.returncode, done.stdout


class _Ended:
    """A process of its own that is killed in the end."""

    def __init__(self, environment: Mapping[str, str], module: str, *args: str) -> None:
        self._started = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            env=dict(environment),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """Kill it."""
        self._started.kill()
        self._started.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def say(message: str) -> None:
    """Tell how far the drill is."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
