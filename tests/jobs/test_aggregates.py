"""Report figures of the demo CRM equal sums written by hand, in our tables and in Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_ops.base import names
from crm_ops.jobs.work import Tools
from crm_ops.publish import codec
from tests.jobs.conftest import execute, go, rows, stored

LIVE_DEALS = """
FROM crm.deal JOIN crm.company ON company.id = deal.company_id
WHERE company.is_active AND deal.deleted_at IS NULL
"""


def figures(tools: Tools, aggregate: str) -> set[tuple[Any, ...]]:
    """What is stored: tenant, dimensions, measured, n, total, low, high."""
    found = rows(
        tools.engine,
        "SELECT tenant, dimensions, measured, n, total, low, high FROM crm_ops.aggregate"
        f" WHERE aggregate = '{aggregate}'",
    )
    return {(tenant, tuple(dimensions), *rest) for tenant, dimensions, *rest in found}


def test_deals_by_stage_and_currency_equal_sums_by_hand(tools: Tools) -> None:
    done = go("precompute_aggregates", tools)

    assert (done.state, done.error, done.tenants) == ("success", None, 13)
    by_hand = rows(
        tools.engine,
        "SELECT company_id::text, stage, currency, count(*), count(amount), sum(amount),"
        f" min(amount), max(amount) {LIVE_DEALS} GROUP BY 1, 2, 3",
    )
    assert len(by_hand) > 50
    assert {None} < {stage for _, stage, *_ in by_hand}
    assert {None} < {currency for _, _, currency, *_ in by_hand}
    wanted = set()
    for tenant, stage, currency, n, values, total, low, high in by_hand:
        wanted.add((tenant, (stage, currency), "", n, None, None, None))
        wanted.add((tenant, (stage, currency), "amount", values, total, low, high))
    assert figures(tools, "deals_by_stage") == wanted
    published = {
        (tenant, tuple(each.dimensions), each.measured, each.n, each.total, each.low, each.high)
        for tenant in {row[0] for row in by_hand}
        for each in _served(tools, "deals_by_stage", tenant).figures
    }
    assert published == wanted


def test_revenue_by_close_month_and_leads_by_day_equal_sums_by_hand(tools: Tools) -> None:
    go("precompute_aggregates", tools)

    months = rows(
        tools.engine,
        "SELECT company_id::text, to_char(close_date, 'YYYY-MM'), currency, count(amount),"
        f" sum(amount) {LIVE_DEALS} GROUP BY 1, 2, 3",
    )
    assert {row for row in figures(tools, "revenue_by_close_month") if row[2]} == {
        (tenant, (month, currency), "amount", n, total, None, None)
        for tenant, month, currency, n, total in months
    }
    days = rows(
        tools.engine,
        "SELECT company_id::text, to_char(lead.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),"
        " count(*) FROM crm.lead JOIN crm.company ON company.id = lead.company_id"
        " WHERE company.is_active AND lead.deleted_at IS NULL GROUP BY 1, 2",
    )
    assert figures(tools, "leads_by_day") == {
        (tenant, (day,), "", n, None, None, None) for tenant, day, n in days
    }


def test_every_group_of_an_aggregate_adds_up_to_the_whole(tools: Tools) -> None:
    """Whatever it is split by: the rows of an entity are those of each of its aggregates."""
    done = go("precompute_aggregates", tools)

    entities = {name: each.entity for name, each in tools.catalog.aggregates.items()}
    sums = rows(
        tools.engine,
        "SELECT aggregate, sum(n) FROM crm_ops.aggregate WHERE measured = '' GROUP BY 1",
    )
    assert {name for name, _ in sums} == set(entities)
    for name, n in sums:
        assert n == done.details[f"rows.{entities[name]}"], name


def test_a_second_run_writes_nothing(tools: Tools) -> None:
    first = go("precompute_aggregates", tools)
    before = stored(tools.engine)["aggregates"]

    second = go("precompute_aggregates", tools)

    assert (first.rows_seen, first.figures_written) == (second.rows_seen, len(before))
    assert second.figures_written == 0
    assert stored(tools.engine)["aggregates"] == before


def test_a_dry_run_writes_nothing_and_tells_what_it_would(tools: Tools) -> None:
    before = stored(tools.engine)

    told = go("precompute_aggregates", tools, dry_run=True)

    assert stored(tools.engine) == before
    assert tools.redis.dbsize() == 0
    done = go("precompute_aggregates", tools)
    assert (told.rows_seen, told.figures_written) == (done.rows_seen, done.figures_written)


def test_an_entity_without_aggregates_is_nothing_to_do(tools: Tools) -> None:
    done = go("precompute_aggregates", tools, entities=("contact",))
    assert (done.state, done.rows_seen, done.figures_written) == ("success", 0, 0)


def test_a_tenant_with_too_many_groups_fails_alone(changed: Callable[..., Tools]) -> None:
    tools = changed(("distinct_values_per_facet: 20000", "distinct_values_per_facet: 500"))
    execute(
        tools.engine,
        "INSERT INTO crm.deal (company_id, name, stage)"
        " SELECT 2, 'x', 'stage ' || n FROM generate_series(1, 501) AS n",
    )

    done = go("precompute_aggregates", tools)

    assert done.state == "partial"
    assert done.error is not None
    assert done.error.startswith("1 tenant(s) failed: 2: deal.deals_by_stage has 5")
    assert {row[0] for row in figures(tools, "deals_by_stage")} == {
        *(str(tenant) for tenant in range(1, 15) if tenant not in (2, 13))
    }
    assert {row[0] for row in figures(tools, "leads_by_status")} > {"2"}


def _served(tools: Tools, aggregate: str, tenant: str) -> codec.AggregateFigures:
    stored_value = tools.redis.get(names.aggregates_key(aggregate, tenant))
    found = codec.aggregate_figures(stored_value, aggregate, tenant)
    assert found is not None
    return found
