"""Cases: may a user read a record, which rules apply, a page of what a user may see, warming.

A company with 200,000 leads, 400 users, a tree of roles six deep, teams, and 1 to 200 sharing
rules; each decision is another lead and another user. The ORM way loads objects as a CRM would
write it. Plain SQL asks seven queries. The old way keeps the rules in Redis as JSON and asks the
rest; a miss reads and stores them. Casbin has all rules, roles and teams in memory, loaded once,
so it does not see what is revoked; it is given the record and its share by one query. Ours asks
one query; its miss is the first decision for a user in a process. The floor reads the record and
decides nothing. All connections prepare what they ask often, as psycopg does by itself; ours and
the floor are both read in the bare driver, so what a permission costs is not flattered by a slow
floor. Each answer is checked to be that of all other ways.
"""

from __future__ import annotations

from bench.report import Report
from bench.setup import Setup
from bench.sharing import company, lookups, pages, readers, warming, writers
from bench.sharing.proxy import delayed
from crm_ops.base import database, sql

EXTRA_MS = 0.5


def run(setup: Setup) -> None:
    """Prepare, and measure every case."""
    with database.transaction(setup.engine) as connection:
        version = sql.run(connection, "SHOW server_version").scalar_one()
    # The company is the same whatever the size of the demo CRM.
    facts = f"PostgreSQL {version}, {setup.rounds} rounds in turn after one unmeasured"
    report = Report(setup.output / "sharing.md", "Who may see what", __doc__, facts=facts)
    company.prepare(setup.engine)
    direct = company.Place(setup.database_url, setup.redis_url)
    for count in (1, 40, 200):
        company.set_rules(setup.engine, count)
        report.add(readers.case(direct, count, 1, setup.rounds, "local"))
    company.set_rules(setup.engine, 40)
    report.add(readers.case(direct, 40, 8, setup.rounds, "local"))
    with delayed(direct, 0.0) as through:
        trips = [readers.trip_ms(direct), readers.trip_ms(through)]
    with delayed(direct, EXTRA_MS) as far:
        trips.append(readers.trip_ms(far))
        report.add(
            f"## {EXTRA_MS} ms of added round trip\n\nA relay in a process of its own holds every"
            " message back for half of it, to PostgreSQL and to Redis. A trip (`SELECT 1`) takes"
            f" {trips[0]:.3f} ms without it, {trips[1]:.3f} ms through a relay that holds nothing"
            f" back, {trips[2]:.3f} ms through this one.\n"
        )
        for many in (1, 8):
            report.add(readers.case(far, 40, many, setup.rounds, f"{EXTRA_MS} ms added"))
    report.case(warming.case(setup.engine, setup.redis, direct), setup.rounds)
    report.add(writers.contention(setup.engine, setup.rounds))
    report.case(lookups.case(setup.engine, setup.redis, direct), setup.rounds)
    report.case(pages.case(setup.redis, direct), setup.rounds)
