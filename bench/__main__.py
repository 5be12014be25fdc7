"""`python -m bench`: runs the cases, prints them, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import sqlalchemy as sa

from bench import counting, folding, read, sharing
from bench.case import OURS, Timing, measure
from crm_ops.base import database, settings, sql, store
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.demo import build, sizes
from crm_ops.local import layout, services
from crm_ops.schema import migrate
from crm_ops.sources import tenants

ROOT = Path(__file__).parents[1]
AS_OF = date(2026, 6, 30)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", choices=sizes.SIZES, default="medium")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    asked = parser.parse_args()
    place = layout.make(ROOT, ROOT / ".local" / f"bench-{asked.size}")
    with services.up(place, note=lambda what, state: _say(f"{what}: {state}")) as servers:
        engine = database.engine(servers.database_url)
        redis = store.client(servers.redis_url)
        migrate.upgrade(engine)
        made = build.create(
            engine,
            size=sizes.SIZES[asked.size],
            as_of=AS_OF,
            progress=lambda what, done, of: _say(f"demo CRM: {what} {done:,} of {of:,}"),
        )
        text = _measured(engine, redis, asked.rounds, made.rows)
        engine.dispose()
    print(text)
    asked.output.write_text(text, encoding="utf-8")
    _say(f"written to {asked.output}")


def _measured(engine: sa.Engine, redis: store.Client, rounds: int, rows: dict[str, int]) -> str:
    catalog = load.load(ROOT / settings.DEFAULT_CATALOG).catalog
    with database.transaction(engine) as connection:
        chosen = tenants.active(connection, catalog)
        version = sql.run(connection, "SHOW server_version").scalar_one()
    lead = counting.counted(engine, catalog, "lead")
    deal = counting.counted(engine, catalog, "deal")
    cases = (
        counting.facet_case(engine, redis, lead, chosen),
        counting.facet_case(engine, redis, deal, chosen),
        counting.aggregate_case(engine, redis, lead, chosen),
        counting.aggregate_case(engine, redis, deal, chosen),
        *(folding.refresh_case(engine, redis, lead, chosen, each) for each in folding.SHARES),
        *folding.write_cases(engine, lead),
    )
    sizes_told = ", ".join(f"{rows[t]:,} {t}s" for t in ("lead", "deal", "account", "contact"))
    parts = [
        "# Benchmarks\n",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores"
        f" ({platform.machine()}), Python {platform.python_version()}, PostgreSQL {version},"
        f" {rounds} rounds in turn after one unmeasured; {sizes_told}.\n",
        "Compare ratios, not milliseconds: machines differ, and all ways of a case ran in turn on"
        " the same data. The ratio is the median, over the rounds, of a way's time to ours.\n",
        *(f"{each.__doc__}".split("\n\n", 1)[1].strip() + "\n" for each in (counting, folding)),
    ]
    for case in cases:
        timings = measure(case, rounds, _say)
        parts.append(_table(case.title, case.about, timings))
    parts += [_searches(engine, redis, catalog, rounds), _reports(engine, catalog, rounds)]
    parts.append(sharing.report(engine, redis, rounds, _table, _say))
    return "\n".join(parts)


def _searches(engine: sa.Engine, redis: store.Client, catalog: Catalog, rounds: int) -> str:
    """A large tenant, and one of about 20,000 rows."""
    parts = ["## searches\n", f"{read.__doc__}".split("\n\n", 1)[1].strip() + "\n"]
    sized = read.largest_tenants(engine)
    small = next((each for each in sized if each[1] < 25_000), sized[-1])
    for tenant, rows in dict.fromkeys((sized[0], small)):
        _say(f"searches of tenant {tenant}")
        found = read.searches(engine, redis, catalog, tenant, 10 * rounds)
        parts += [f"### a tenant of {rows:,} leads\n", read.table(found)]
    return "\n".join(parts)


def _reports(engine: sa.Engine, catalog: Catalog, rounds: int) -> str:
    tenant, rows = read.largest_tenants(engine)[0]
    _say(f"reports of tenant {tenant}")
    found = read.reports(engine, catalog, tenant, 10 * rounds)
    return f"## reports\n\na tenant of {rows:,} leads\n\n{read.table(found)}"


def _table(title: str, about: str, timings: list[Timing]) -> str:
    lines = [
        f"## {title}\n",
        f"{about}\n",
        "| way | median ms | spread ms | times ours |",
        "|---|---:|---:|---:|",
    ]
    for timing in timings:
        shown = f"**{timing.way}**" if timing.way == OURS else timing.way
        lines.append(
            f"| {shown} | {timing.median_ms:,.0f} | {timing.spread_ms} | {timing.ratio:.2f} |"
        )
    return "\n".join([*lines, ""])


def _say(message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)
    else:
        print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
