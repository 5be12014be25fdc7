"""What the triggers cost many writers of one tenant."""

from __future__ import annotations

import multiprocessing
import time

import sqlalchemy as sa

from bench.report import table
from bench.sharing import company
from crm_ops.base import database, sql
from crm_ops.sharing import install

WRITERS = 20


def contention(engine: sa.Engine) -> str:
    """The share of their untriggered throughput that writers keep, by how they commit."""
    shown = []
    for commit in ("on", "off"):
        with_triggers = writes_per_s(engine, commit)
        install.remove(engine)
        without = writes_per_s(engine, commit)
        install.apply(engine, company.catalog())
        share = f"{with_triggers / without:.2f}"
        shown.append([commit, f"{without:,.0f}", f"{with_triggers:,.0f}", share])
    heads = ("synchronous_commit", "writes/s without triggers", "with them", "share kept")
    return (
        f"## {WRITERS} writers of one tenant's rules\n\n"
        "Each changes a rule in a commit of its own; with `on`, as PostgreSQL comes, a commit waits"
        f" for the disk.\n\n{table(heads, shown)}"
    )


def writes_per_s(engine: sa.Engine, commit: str, seconds: float = 4.0) -> float:
    """Rules of one tenant that so many processes change in a second, each in its own commit."""
    url = engine.url.render_as_string(hide_password=False)
    forked = multiprocessing.get_context("fork")
    begin = time.time() + 4.0
    with forked.Pool(WRITERS) as pool:
        asked = [(url, writer, commit, begin, seconds) for writer in range(WRITERS)]
        return sum(pool.starmap(_write, asked, chunksize=1)) / seconds


def _write(url: str, writer: int, commit: str, begin: float, seconds: float) -> int:
    engine = database.engine(url)
    writes = 0
    statement = (
        "UPDATE bench_sharing.sharing_rule SET grantee_id = grantee_id + 1 WHERE id = %(id)s"
    )
    with database.autocommit(engine) as connection:
        sql.run(connection, f"SET synchronous_commit = {commit}")
        time.sleep(max(0.0, begin - time.time()))
        while time.time() < begin + seconds:
            sql.run(connection, statement, id=writer)
            writes += 1
    engine.dispose()
    return writes


__all__ = ["contention"]
