"""Every tenant's rules into Redis, before anybody asks for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import sqlalchemy as sa

from bench.case import OURS, Case
from bench.sharing import company, plain
from bench.sharing.company import Place
from crm_ops.base import database, sql, store
from crm_ops.sharing import warm

KEY = b"a key for the benchmark, 32 bytes"
NOW = datetime(2026, 6, 30, tzinfo=UTC)


def case(engine: sa.Engine, redis: store.Client, place: Place, tenants: int = 2_000) -> Case:
    """Rules of `tenants` companies and five entities into Redis."""
    entities = ["lead", "deal", "account", "contact", "case"]
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            "INSERT INTO bench_sharing.company SELECT n, 'private'"
            " FROM generate_series(2, %(n)s) AS n ON CONFLICT DO NOTHING",
            n=tenants,
        )
        sql.run(
            connection,
            "INSERT INTO bench_sharing.sharing_rule SELECT 1000000 + n, 1 + n %% %(t)s,"
            " (ARRAY['lead', 'deal', 'account', 'contact', 'case'])[1 + n %% 5],"
            """ '{"eq": ["status", "s1"]}', 'everyone', NULL, 'read_only', true"""
            " FROM generate_series(1, %(t)s * 10) AS n ON CONFLICT DO NOTHING",
            t=tenants,
        )
        sql.run(connection, "ANALYZE bench_sharing.sharing_rule")
    keys = [str(n) for n in range(1, tenants + 1)]
    declared = company.catalog()
    connection = place.engine().connect()

    def naive() -> None:
        for tenant in keys:
            for entity in entities:
                rows = sql.run(connection, plain.RULES, company=tenant, entity=entity)
                found = json.dumps([list(row) for row in rows])
                redis.set(f"old:{tenant}:{entity}", found, ex=3600)

    def floor() -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for tenant in keys:
                for entity in entities:
                    pipeline.set(f"floor:{tenant}:{entity}", b"x" * 500, ex=3600)
            pipeline.execute()

    return Case(
        f"warming {len(keys) * len(entities):,} tenants and entities",
        "the naive loop asks and stores each by itself; the floor only stores, in one pipeline",
        {
            "naive loop": naive,
            OURS: lambda: warm.warm(
                engine,
                redis,
                declared,
                keys,
                entities,
                signing_key=KEY,
                now=NOW,
                dry_run=False,
            ),
            "floor (pipelined SET)": floor,
        },
    )


__all__ = ["case"]
