"""What goes on while readers wait: a CRM that writes leads, and refreshes, in another process."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Event

from bench import counting, tenants
from bench.setup import ROOT
from crm_ops.base import database, settings, sql, store
from crm_ops.catalog import load
from crm_ops.fold import refresh
from crm_ops.fold.definition import KINDS
from crm_ops.publish import latest

WRITES_PER_S = 50
REFRESH_EVERY_S = 2.0


@contextmanager
def writes_and_refreshes(database_url: str, redis_url: str) -> Iterator[None]:
    """Leads change one by one, and are folded and published, as long as the context lasts."""
    apart = multiprocessing.get_context("spawn")
    over = apart.Event()
    process = apart.Process(target=_run, args=(database_url, redis_url, over))
    process.start()
    try:
        yield
        if not process.is_alive():
            raise RuntimeError("what should go on meanwhile ended before")
    finally:
        over.set()
        process.join()
    if process.exitcode:
        raise RuntimeError("what went on meanwhile failed; its message is above")


def _run(database_url: str, redis_url: str, over: Event) -> None:
    writer = threading.Thread(target=_write, args=(database_url, over))
    writer.start()
    try:
        _refresh(database_url, redis_url, over)
    finally:
        over.set()
        writer.join()


def _write(database_url: str, over: Event) -> None:
    engine = database.engine(database_url, ping=False)
    chance = random.Random(1)
    with database.autocommit(engine) as connection:
        most = sql.run(connection, "SELECT max(id) FROM crm.lead").scalar_one()
        while not over.wait(1 / WRITES_PER_S):
            sql.run(
                connection,
                "UPDATE crm.lead SET updated_at = now(), status = %(status)s WHERE id = %(id)s",
                status=chance.choice(("new", "contacted", "qualified")),
                id=chance.randint(1, most),
            )
    engine.dispose()


def _refresh(database_url: str, redis_url: str, over: Event) -> None:
    engine = database.engine(database_url)
    catalog = tenants.catalog(load.load(ROOT / settings.DEFAULT_CATALOG).catalog)
    lead = counting.counted(engine, catalog, "lead")
    with store.client(redis_url) as redis:
        while not over.wait(0):
            began = time.perf_counter()
            done = refresh.fold(engine, lead)
            if done.set_aside or done.unusable:
                raise RuntimeError(f"nothing was folded: {done}")
            for kind in KINDS:
                latest.publish(
                    engine, redis, lead, kind, list(tenants.SHARES), now=datetime.now(UTC)
                )
            over.wait(max(0.0, began + REFRESH_EVERY_S - time.perf_counter()))
    engine.dispose()


__all__ = ["REFRESH_EVERY_S", "WRITES_PER_S", "writes_and_refreshes"]
