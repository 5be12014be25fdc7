"""What the triggers cost many writers of one tenant."""

from __future__ import annotations

import multiprocessing
import time

import sqlalchemy as sa

from bench.sharing import company
from crm_ops.base import database, sql
from crm_ops.sharing import install

WRITERS = 20


def contention(engine: sa.Engine) -> str:
    """The share of their untriggered throughput that writers keep."""
    with_triggers = writes_per_s(engine)
    install.remove(engine)
    without = writes_per_s(engine)
    install.apply(engine, company.catalog())
    return (
        f"## {WRITERS} writers of one tenant's rules\n\n"
        f"{without:,.0f} writes a second without triggers, {with_triggers:,.0f} with them:"
        f" {with_triggers / without:.2f} of it.\n"
    )


def writes_per_s(engine: sa.Engine, seconds: float = 4.0) -> float:
    """Rules of one tenant that so many processes change in a second, each in its own commit."""
    url = engine.url.render_as_string(hide_password=False)
    forked = multiprocessing.get_context("fork")
    begin = time.time() + 4.0
    with forked.Pool(WRITERS) as pool:
        asked = [(url, writer, begin, seconds) for writer in range(WRITERS)]
        return sum(pool.starmap(_write, asked, chunksize=1)) / seconds


def _write(url: str, writer: int, begin: float, seconds: float) -> int:
    engine = database.engine(url)
    writes = 0
    statement = (
        "UPDATE bench_sharing.sharing_rule SET grantee_id = grantee_id + 1 WHERE id = %(id)s"
    )
    with database.autocommit(engine) as connection:
        sql.run(connection, "SELECT 1")
        time.sleep(max(0.0, begin - time.time()))
        while time.time() < begin + seconds:
            sql.run(connection, statement, id=writer)
            writes += 1
    engine.dispose()
    return writes


__all__ = ["contention"]
