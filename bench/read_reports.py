"""The ways of a report: a query of the rows, a materialized view, ours, and the floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from bench.case import OURS
from bench.waiting import Ask
from crm_ops.base import database, sql
from crm_ops.read.reader import Reader

RAW = "raw SQL"
VIEW = "materialized view"
FLOOR = "floor: a primary-key page of as many lines"


@dataclass(frozen=True)
class Case:
    """A report, how it is rolled up, and the same as SQL: table, keys and measures."""

    name: str
    by: tuple[str, ...] | None
    table: str
    keys: tuple[str, ...]
    measures: str = "count(*)"

    @property
    def title(self) -> str:
        """As typed."""
        return " ".join([self.name, *(f"--by {each}" for each in self.by or ())])

    @property
    def view(self) -> str:
        """Its materialized view, by its quoted name."""
        parts = [self.name, *(each.replace(":", "_") for each in self.by or ())]
        return sql.Relation("crm", "_".join(["bench", *parts])).quoted

    def query(self, tenant: str | None) -> str:
        """The figures of the rows of one tenant, or of all with the tenant as first column."""
        keys = [*(["company_id"] if tenant is None else []), *self.keys]
        own = "" if tenant is None else f" AND company_id = {tenant}"
        return (
            f"SELECT {', '.join([*keys, self.measures])} FROM {self.table}"
            f" WHERE deleted_at IS NULL{own} GROUP BY {', '.join(keys)}"
        )


_AMOUNTS = "count(*), sum(amount)"
CASES = (
    Case("leads_by_status", None, "crm.lead", ("status",)),
    Case("leads_by_owner", None, "crm.lead", ("owner_id",)),
    Case("leads_by_day", None, "crm.lead", ("date_trunc('day', created_at)",)),
    Case("leads_by_day", ("created_day:month",), "crm.lead", ("date_trunc('month', created_at)",)),
    Case(
        "deals_by_stage",
        None,
        "crm.deal",
        ("stage", "currency"),
        f"{_AMOUNTS}, avg(amount), min(amount), max(amount)",
    ),
    Case(
        "revenue_by_close_month",
        ("close_month:quarter",),
        "crm.deal",
        ("date_trunc('quarter', close_date)", "currency"),
        _AMOUNTS,
    ),
)


@contextmanager
def views(engine: sa.Engine) -> Iterator[None]:
    """The materialized views of all cases, indexed by tenant, for as long as the context lasts."""
    try:
        for case in CASES:
            with database.autocommit(engine) as connection:
                sql.run(connection, f"DROP MATERIALIZED VIEW IF EXISTS {case.view}")
                sql.run(connection, f"CREATE MATERIALIZED VIEW {case.view} AS {case.query(None)}")
                sql.run(connection, f"CREATE INDEX ON {case.view} (company_id)")
                sql.run(connection, f"ANALYZE {case.view}")
        yield
    finally:
        for case in CASES:
            with database.autocommit(engine) as connection:
                sql.run(connection, f"DROP MATERIALIZED VIEW IF EXISTS {case.view}")


def ways(engine: sa.Engine, reader: Reader, case: Case, tenant: str) -> Mapping[str, Ask]:
    """What answers the report; all give as many lines."""

    def rows(query: str) -> Ask:
        def ask(_: object) -> int:
            with database.autocommit(engine) as connection:
                return len(sql.run(connection, query).all())

        return ask

    def ours(_: object) -> int:
        return len(reader.report(case.name, tenant=tenant, by=case.by).groups)

    lines = ours(None)
    made: dict[str, Ask] = {
        RAW: rows(case.query(tenant)),
        VIEW: rows(f"SELECT * FROM {case.view} WHERE company_id = {tenant}"),
        OURS: ours,
    }
    for way, ask in made.items():
        if ask(None) != lines:
            raise RuntimeError(f"{case.title}: {way} has {ask(None)} lines, ours {lines}")
    page = f"SELECT id, status FROM crm.lead WHERE id > 0 ORDER BY id LIMIT {lines}"
    made[FLOOR] = rows(page)
    return made


__all__ = ["CASES", "FLOOR", "RAW", "VIEW", "Case", "views", "ways"]
