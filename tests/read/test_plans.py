"""The plans of hot queries, on a table that is too large to be scanned by mistake."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.fold import rebuild
from crm_ops.read import indexes
from crm_ops.read.answers import Step
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.read import desk

ROWS = 30_000


@pytest.fixture
def busy(reader: Reader, engine: sa.Engine) -> Reader:
    """A reader of a shop with many orders, with the indexes that searches want."""
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            'INSERT INTO shop."order lines" (id, company_id, "state %%", size, person_id, placed)'
            " SELECT i, 1 + i %% 3, 'word' || i, i, i %% 50,"
            " timestamptz '2026-01-01' + i * '1h'::interval"
            f" FROM generate_series(1, {ROWS}) AS i",
        )
    desk.count(engine)
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            "INSERT INTO crm_ops.facet_count SELECT 'order', 't' || i, 'state', 'x', 1"
            f" FROM generate_series(1, {10 * ROWS}) AS i",
        )
        sql.run(
            connection,
            "INSERT INTO crm_ops.refresh (kind, entity, tenant, version, as_of, counted)"
            " SELECT kind, entity, 't' || i, 1, now(), 1 FROM generate_series(1, 5000) AS i,"
            " (VALUES ('facets'), ('aggregates')) AS k (kind),"
            " (VALUES ('order'), ('lead'), ('deal')) AS e (entity)",
        )
    with database.autocommit(engine) as connection:
        for statement in indexes.statements(desk.CATALOG):
            sql.run(connection, statement.replace("%", "%%"))
        sql.run(connection, 'VACUUM ANALYZE shop."order lines"')
        sql.run(connection, "VACUUM ANALYZE crm_ops.facet_count")
        sql.run(connection, "VACUUM ANALYZE crm_ops.refresh")
    return reader


def plan(engine: sa.Engine, reader: Reader, **asked: Any) -> str:
    return explained(engine, reader.search("order", tenant=1, **asked).steps[-1])


def explained(engine: sa.Engine, step: Step) -> str:
    assert step.statement is not None
    with database.autocommit(engine) as connection:
        found = sql.run(connection, f"EXPLAIN {step.statement}", step.values or {})
        return "\n".join(found.scalars())


@pytest.mark.parametrize("sort", ["placed", "-placed", "size", "-size", "state %", "-state %"])
def test_a_page_reads_its_own_rows_by_the_index_of_its_order(
    busy: Reader, engine: sa.Engine, sort: str
) -> None:
    first = plan(engine, busy, sort=sort, limit=10)
    assert f"order_by_{sort.removeprefix('-')}" in first
    assert "Seq Scan" not in first.split("InitPlan")[-1]

    after = busy.search("order", tenant=1, sort=sort, limit=10).next
    second = plan(engine, busy, sort=sort, limit=10, after=after)
    assert f"order_by_{sort.removeprefix('-')}" in second
    assert any("Index Cond" in line and "ROW(" in line for line in second.splitlines())


def test_stored_counts_are_read_by_their_key(busy: Reader, engine: sa.Engine) -> None:
    found = plan(engine, busy)
    assert "facet_count_entity_tenant_facet_bucket_key" in found
    assert "refresh_pkey" in found
    assert "Seq Scan on refresh" not in found


def test_words_and_beginnings_are_found_by_their_indexes(busy: Reader, engine: sa.Engine) -> None:
    found = plan(engine, busy, text="word123")
    assert "crm_ops_order_words" in found
    assert "crm_ops_order_begins" in found


def test_counts_group_by_hashing_not_by_sorting(busy: Reader, engine: sa.Engine) -> None:
    found = plan(engine, busy, filters={"person": 7}, limit=0)
    assert "MixedAggregate" in found
    assert found.count("Hash Key") == 5  # neither the filtered facet nor the linked one


def test_a_report_is_planned_once_whatever_the_tenant(busy: Reader, engine: sa.Engine) -> None:
    rebuild.aggregate_figures(engine, shop.counted(desk.CATALOG), desk.EVERYBODY)
    with database.autocommit(engine) as connection:
        sql.run(connection, "VACUUM ANALYZE crm_ops.aggregate")
    for tenant in [1, 2, 3, *range(4, 11)] * 2:
        busy.report("by_day_and_state", tenant=tenant, by=["day:quarter"])

    with database.autocommit(engine) as connection:
        (planned,) = sql.run(
            connection, "SELECT generic_plans, custom_plans FROM pg_prepared_statements"
        ).all()
    # PostgreSQL looks at five values before it keeps a plan.
    assert tuple(planned) == (15, 5)


@pytest.mark.parametrize("by", [None, ["day:quarter"], ["state"]])
def test_a_report_reads_its_own_figures_by_their_key_and_adds_them_up_in_the_statement(
    busy: Reader, engine: sa.Engine, by: list[str] | None
) -> None:
    rebuild.aggregate_figures(engine, shop.counted(desk.CATALOG), desk.EVERYBODY)
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            "INSERT INTO crm_ops.aggregate SELECT 'by_day_and_state', 't' || i,"
            f" ARRAY['2026-01-01', 'x'], '', 1 FROM generate_series(1, {10 * ROWS}) AS i",
        )
    with database.autocommit(engine) as connection:
        sql.run(connection, "VACUUM ANALYZE crm_ops.aggregate")

    report = busy.report("by_day_and_state", tenant=1, by=by, filters={"state": ["word3", "word6"]})

    assert len(report.steps) == 1
    found = explained(engine, report.steps[0])
    assert "aggregate_pkey" in found
    assert "refresh_pkey" in found
    assert "Seq Scan on aggregate" not in found
    assert "HashAggregate" in found or "GroupAggregate" in found
    assert len(report.groups) == (1 if by == ["day:quarter"] else 2)
