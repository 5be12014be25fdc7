"""`python -m drill.sharing`: is a grant ever honoured after its revocation was acknowledged?

Writers grant and revoke, roll back and crash; readers ask, and store some things long after they
read them; Redis is killed and comes back with what it had some seconds before. A check counts if it
began after a revocation had been acknowledged and ended before the next grant began: then it must
say no. The drill runs the old ways, too: a cache with a time to live, and one that is deleted after
the commit. It fails if ours grants once, and also if it does not catch them: then it would prove
nothing.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from crm_ops.base import database
from crm_ops.local import place, ports, postgres
from crm_ops.local.processes import Processes
from drill.sharing import crm, race
from drill.sharing.cache import PASSWORD, Cache
from drill.sharing.ways import DECIDE


def main() -> None:
    """Race every way, tell the figures, and exit 1 if they are not as they must be."""
    parser = argparse.ArgumentParser(prog="python -m drill.sharing", description=__doc__)
    parser.add_argument("--checks", type=int, default=50_000, help="of ours, at least")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round")
    asked = parser.parse_args()
    # That Redis is away is what the drill is about.
    logging.getLogger("crm_ops").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-drill-")).resolve()
    try:
        with Processes(folder / "processes.json") as processes:
            server = postgres.start(
                processes,
                folder / "postgres",
                log=folder / "postgresql.log",
                port=ports.any_free(),
                password=PASSWORD,
            )
            engine = database.engine(server.url("postgres"))
            crm.fill(engine)
            engine.dispose()
            with Cache(folder / "redis") as cache:
                results = {}
                for way in DECIDE:
                    checks = asked.checks if way == "ours" else 1
                    url = server.url("postgres")
                    results[way] = race.run(way, url, cache, asked.seconds, checks)
                    _tell(way, results[way])
                print(f"Redis was killed and started {cache.restarts} times", flush=True)
    finally:
        place.remove(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(_verdict(results))


def _tell(way: str, figures: list[int]) -> None:
    checks, stale, granted, failed, writes = figures
    print(
        f"{way}: {checks:,} checks after an acknowledged revoke, {stale:,} stale grants;"
        f" {granted:,} grants in all, {failed:,} denied with an error, {writes:,} writes",
        flush=True,
    )


def _verdict(results: dict[str, list[int]]) -> int:
    checks, stale, granted, _, _ = results["ours"]
    if stale or not checks or not granted:
        print("FAILED: a revoked grant was honoured, or nothing was asked", flush=True)
        return 1
    blind = [way for way in ("time to live", "delete after commit") if not results[way][1]]
    if blind:
        print(f"FAILED: {', '.join(blind)} was not caught: this proves nothing", flush=True)
        return 1
    print("held: no revoked grant was honoured, and the old ways were caught", flush=True)
    return 0


if __name__ == "__main__":
    main()
