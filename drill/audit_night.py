"""A night of the audit log's maintenance in a process of its own, and what may trouble it."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.context import SpawnContext
from pathlib import Path

import psycopg

from crm_ops.audit import apply, archiving, layout, plan
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

LOG = Relation("crm", "audit_log")
POLICY = Audit.model_validate(
    {
        "table": str(LOG),
        "time": "created_at",
        "tenant": "company_id",
        "grace_days": 0,
        "retention_months": 3,
    }
)
# One after the other, on every other night; between them a process is killed.
TROUBLES = (
    "a bit flipped after the export",
    "not mounted",
    "full disk",
    "a bit flipped after the verification",
    "wrong clock",
    "time zone",
)
_FLIPPED = {TROUBLES[0]: "export", TROUBLES[3]: "verify"}


def night(
    context: SpawnContext, url: str, archive: Path, trouble: str, chance: random.Random
) -> int:
    """One night with a trouble; returns 1 if it was met."""
    away = archive.with_name("not-mounted")
    if trouble in _FLIPPED:
        before = context.Process(
            target=maintain, args=(url, str(archive), trouble, _FLIPPED[trouble])
        )
        before.start()
        before.join()
        if not _flip(url, archive, chance):
            return 0
    if trouble == "not mounted":
        # Before the first run nobody can know that another disk belongs there.
        if not list(archive.glob("*/manifest/head.json")):
            return 0
        archive.rename(away)
    process = context.Process(target=maintain, args=(url, str(archive), trouble))
    process.start()
    process.join(1.2 + chance.random() * 2.5 if trouble == "kill" else 120)
    met = 1
    if process.is_alive():
        os.kill(process.pid or 0, signal.SIGKILL)
    elif trouble == "kill":
        met = 0
    process.join()
    if away.exists():
        _merge(away, archive)
    return met


def maintain(url: str, archive: str, trouble: str, last: str = "drop") -> None:
    """The steps of a night up to `last`; what fails is told and left to the next."""
    now = datetime.now(UTC)
    if trouble == "full disk":
        # No file may be larger: as a full disk, the write of an archive fails in the middle.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
    if trouble == "wrong clock":
        now += timedelta(days=430)
    if trouble == "time zone":
        os.environ["TZ"] = "Pacific/Kiritimati"
        time.tzset()
    engine = database.engine(url)
    storage = Storage(archive, Path(archive))
    try:
        made = plan.make(layout.look(engine, POLICY), POLICY, now)
        apply.create(engine, made)
        apply.detach(engine, made)
        for each in made.archives:
            archiving.export(engine, storage, POLICY, each.table)
            if last != "export":
                archiving.verify(engine, storage, POLICY, each.table, now=now)
        if last == "drop":
            apply.drop(engine, made, storage)
    except errors.CrmOpsError as error:
        print(f"  a night with {trouble} failed: {str(error)[:140]}", flush=True)
    finally:
        engine.dispose()


def _flip(url: str, archive: Path, chance: random.Random) -> bool:
    """Flip a bit in a file whose table is still there; False where there is none."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT file FROM crm_ops.audit_partition WHERE state IN ('exported', 'verified')"
        ).fetchall()
    files = [archive / name for (name,) in rows if (archive / name).exists()]
    if not files:
        return False
    file = chance.choice(sorted(files))
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return True


def _merge(away: Path, archive: Path) -> None:
    """The disk is mounted again; what was written into its empty place is hidden by it."""
    if archive.exists():
        archive.rename(archive.with_name(f"hidden-{time.time_ns()}"))
    away.rename(archive)


__all__ = ["LOG", "POLICY", "TROUBLES", "maintain", "night"]
