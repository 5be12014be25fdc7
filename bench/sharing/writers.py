"""What the triggers cost many writers of one tenant."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy as sa

from bench.report import say, table
from bench.sharing import company
from crm_ops.base import database, sql
from crm_ops.base.names import SHARING_EPOCH
from crm_ops.sharing import install

WRITERS = 20
_SECONDS = 2

_RULE = "UPDATE bench_sharing.sharing_rule SET grantee_id = grantee_id + 1 WHERE id = :client_id;"


def _saved(work: str = "") -> str:
    return f"""\
BEGIN;
SELECT role_id, is_active FROM bench_sharing.app_user WHERE id = 1 + :client_id;
SELECT * FROM bench_sharing.sharing_rule WHERE id = :client_id;
{_RULE}
INSERT INTO bench_sharing.history (company_id, user_id, at, was)
    VALUES (1, 1 + :client_id, now(), '["status", ["s1", "s8"]]');
{work}SELECT * FROM bench_sharing.sharing_rule WHERE id = :client_id;
COMMIT;
"""


_WAYS = {
    "one statement": _RULE,
    "a transaction": _saved(),
    "a transaction with 2 ms of work": _saved("\\sleep 2 ms\n"),
}
_HEADS = ("a change is", "synchronous_commit", "writes/s without triggers", "with them")


def contention(engine: sa.Engine, rounds: int) -> str:
    """The share of their untriggered throughput that writers keep, by what and how they commit."""
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            "CREATE TABLE bench_sharing.history (id bigint PRIMARY KEY GENERATED ALWAYS AS"
            " IDENTITY, company_id bigint, user_id bigint, at timestamptz, was jsonb)",
        )
        program = sql.run(connection, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        pgbench = Path(program.scalar_one(), "pgbench")
    shown = [
        _kept(engine, pgbench, way, commit, rounds) for way in _WAYS for commit in ("on", "off")
    ]
    return (
        f"## {WRITERS} writers of one tenant's rules\n\n"
        "By pgbench, whose clients cost next to nothing, so that all of two cores is the server's:"
        " in turns without and with the triggers. A change is one statement, or what a CRM does to"
        " save a rule: who asks, the rule, the update, a row of history, the rule again; with 2 ms"
        " in which the CRM does something else before it commits. `on` waits for the disk, as"
        " PostgreSQL comes. Tables are vacuumed before each turn.\n\n"
        + table([*_HEADS, "share kept", "of each turn"], shown)
    )


def _kept(engine: sa.Engine, pgbench: Path, way: str, commit: str, rounds: int) -> list[str]:
    say(f"{WRITERS} writers: {way}, synchronous_commit {commit}")
    without, with_them = [], []
    for _ in range(rounds):
        install.remove(engine)
        without.append(_writes_per_s(engine, pgbench, way, commit))
        install.apply(engine, company.catalog())
        with_them.append(_writes_per_s(engine, pgbench, way, commit))
    shares = [part / whole for part, whole in zip(with_them, without, strict=True)]
    return [
        way,
        commit,
        f"{statistics.median(without):,.0f}",
        f"{statistics.median(with_them):,.0f}",
        f"{statistics.median(shares):.2f}",
        f"{min(shares):.2f} - {max(shares):.2f}",
    ]


def _writes_per_s(engine: sa.Engine, pgbench: Path, way: str, commit: str) -> float:
    """Changes of one tenant's rules in a second, each writer's of a rule of its own.

    What turns before, and other cases, left behind is vacuumed away first.
    """
    with database.autocommit(engine) as connection:
        ours = SHARING_EPOCH.quoted
        for written in ("bench_sharing.sharing_rule", "bench_sharing.history", ours):
            sql.run(connection, f"VACUUM (ANALYZE) {written}")
    url = engine.url.set(drivername="postgresql", query={})
    options = f"?options=-csynchronous_commit%3D{commit}"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_WAYS[way])
        script.flush()
        asked = [str(pgbench), "--no-vacuum", "--protocol=prepared", "--jobs=2"]
        asked += [f"--client={WRITERS}", f"--time={_SECONDS}", f"--file={script.name}"]
        asked.append(url.render_as_string(hide_password=False) + options)
        told = subprocess.run(asked, check=True, capture_output=True, text=True)
    found = re.search(r"^tps = ([\d.]+)", told.stdout, re.MULTILINE)
    if found is None or "number of failed transactions: 0 " not in told.stdout:
        raise AssertionError(f"pgbench failed: {told.stdout} {told.stderr}")
    return float(found[1])


__all__ = ["contention"]
