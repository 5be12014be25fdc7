"""Facet counts of the demo CRM equal counts written by hand, in our tables and in Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_ops.base import errors, names
from crm_ops.base import store as stores
from crm_ops.jobs.work import Tools
from crm_ops.publish import codec
from tests.jobs.conftest import execute, go, rows, stored

LIVE = """
FROM crm.lead JOIN crm.company ON company.id = lead.company_id
WHERE company.is_active AND lead.deleted_at IS NULL GROUP BY 1, 2
"""
BY_HAND = {
    "status": f"SELECT company_id::text, status, count(*) {LIVE}",
    "score": f"""SELECT company_id::text, CASE
        WHEN score < 0 THEN '..0' WHEN score < 25 THEN '0..25' WHEN score < 50 THEN '25..50'
        WHEN score < 75 THEN '50..75' WHEN score < 100 THEN '75..100' WHEN score >= 100 THEN '100..'
        END, count(*) {LIVE}""",
    "owner": f"SELECT company_id::text, owner_id::text, count(*) {LIVE}",
    "created_month": f"""SELECT company_id::text,
        to_char(lead.created_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) {LIVE}""",
    "updated_week": f"""SELECT company_id::text,
        to_char(lead.updated_at AT TIME ZONE 'UTC', 'IYYY-"W"IW'), count(*) {LIVE}""",
    "": f"SELECT company_id::text, NULL, count(*) {LIVE}",
}


def served(store: stores.Client, entity: str, tenant: str) -> codec.FacetCounts:
    found = codec.facet_counts(store.get(names.facets_key(entity, tenant)), entity, tenant)
    assert found is not None
    return found


def test_every_count_equals_one_by_hand(tools: Tools) -> None:
    done = go("precompute_facets", tools)

    assert (done.state, done.error) == ("success", None)
    active = rows(tools.engine, "SELECT id::text FROM crm.company WHERE is_active")
    assert done.tenants == len(active) == 13
    by_tenant: dict[str, dict[str, dict[str | None, int]]] = defaultdict(dict)
    for facet, query in BY_HAND.items():
        by_hand = rows(tools.engine, query)
        assert len(by_hand) > 10
        assert set(by_hand) == set(
            rows(
                tools.engine,
                "SELECT tenant, bucket, n FROM crm_ops.facet_count"
                f" WHERE entity = 'lead' AND facet = '{facet}'",
            )
        )
        for tenant, bucket, n in by_hand:
            by_tenant[tenant].setdefault(facet, {})[bucket] = n
    for (tenant,) in active:
        found = served(tools.redis, "lead", tenant)
        totals = by_tenant[tenant].pop("", {})
        assert found.total == sum(totals.values())
        shown = {
            name: {bucket.value: bucket.n for bucket in facet.buckets}
            for name, facet in found.facets.items()
            if name in by_tenant[tenant]
        }
        assert shown == by_tenant[tenant]


def test_rows_seen_are_the_rows_that_count(tools: Tools) -> None:
    done = go("precompute_facets", tools)

    by_hand = {
        f"rows.{entity}": rows(
            tools.engine,
            f"SELECT count(*) FROM crm.{entity} AS r JOIN crm.company ON company.id = r.company_id"
            " WHERE company.is_active AND r.deleted_at IS NULL",
        )[0][0]
        for entity in ("lead", "deal", "account", "contact")
    }
    assert done.rows_seen == sum(by_hand.values())
    assert {name: done.details[name] for name in by_hand} == by_hand
    (count,) = rows(tools.engine, "SELECT count(*) FROM crm_ops.facet_count")
    assert (done.figures_written,) == count
    assert done.details["published_values"] == 13 * 4 == tools.redis.dbsize()


def test_an_owner_is_shown_by_name(tools: Tools) -> None:
    go("precompute_facets", tools)

    known = dict(rows(tools.engine, "SELECT id::text, name FROM crm.app_user"))
    buckets = served(tools.redis, "lead", "1").facets["owner"].buckets
    assert len(buckets) > 3
    for bucket in buckets:
        assert bucket.label == (None if bucket.value is None else known[bucket.value])


def test_a_closed_company_is_neither_counted_nor_published(tools: Tools) -> None:
    go("precompute_facets", tools)

    assert rows(tools.engine, "SELECT count(*) FROM crm.lead WHERE company_id = 13") > [(0,)]
    assert rows(tools.engine, "SELECT 1 FROM crm_ops.facet_count WHERE tenant = '13'") == []
    assert tools.redis.get(names.facets_key("lead", "13")) is None


def test_a_second_run_sees_all_rows_and_writes_nothing(tools: Tools) -> None:
    first = go("precompute_facets", tools)
    before = stored(tools.engine)["facets"]

    second = go("precompute_facets", tools)

    assert (second.rows_seen, second.figures_written) == (first.rows_seen, 0)
    assert stored(tools.engine)["facets"] == before


def test_what_changed_meanwhile_is_counted_by_the_next_run(tools: Tools) -> None:
    go("precompute_facets", tools)
    before = {bucket.value: bucket.n for bucket in _status(tools).buckets}
    execute(
        tools.engine,
        "UPDATE crm.lead SET status = 'thawed' WHERE company_id = 1 AND status = 'new'",
    )

    done = go("precompute_facets", tools)

    after = {bucket.value: bucket.n for bucket in _status(tools).buckets}
    assert after["thawed"] == before["new"]
    assert "new" not in after
    assert done.figures_written == 2


def test_only_what_is_asked_for_is_counted(tools: Tools) -> None:
    done = go("precompute_facets", tools, entities=("deal",), tenants=("1", "2"))

    assert done.tenants == 2
    assert set(rows(tools.engine, "SELECT DISTINCT entity, tenant FROM crm_ops.facet_count")) == {
        ("deal", "1"),
        ("deal", "2"),
    }
    assert tools.redis.dbsize() == 2


def test_a_dry_run_writes_nothing_and_tells_what_it_would(tools: Tools) -> None:
    before = stored(tools.engine)

    told = go("precompute_facets", tools, dry_run=True)

    assert told.state == "success"
    assert stored(tools.engine) == before
    assert tools.redis.dbsize() == 0
    done = go("precompute_facets", tools)
    assert (told.rows_seen, told.figures_written) == (done.rows_seen, done.figures_written)


def test_a_tenant_with_too_many_values_fails_alone_and_is_named(
    changed: Callable[..., Tools],
) -> None:
    tools = changed(("distinct_values_per_facet: 20000", "distinct_values_per_facet: 500"))
    go("precompute_facets", tools)
    before = rows(tools.engine, "SELECT n FROM crm_ops.facet_count WHERE tenant = '1'")
    execute(
        tools.engine,
        "INSERT INTO crm.lead (company_id, name, status)"
        " SELECT 1, 'x', 'status ' || n FROM generate_series(1, 501) AS n",
        "INSERT INTO crm.lead (company_id, name, status) VALUES (2, 'x', 'thawed')",
    )

    done = go("precompute_facets", tools)

    assert done.state == "partial"
    assert done.error is not None
    assert done.error.startswith("1 tenant(s) failed: 1: lead.status has 50")
    assert "limits.distinct_values_per_facet" in done.error
    assert _count(tools.engine, "2", "thawed") == [(1,)]
    assert served(tools.redis, "lead", "2").facets["status"].buckets[-1].n >= 1
    assert rows(tools.engine, "SELECT n FROM crm_ops.facet_count WHERE tenant = '1'") == before


def test_redis_that_is_away_fails_the_job_before_anything_is_counted(tools: Tools) -> None:
    away = replace(tools, redis=stores.client("redis://:s3cret@127.0.0.1:1/0"))
    before = stored(tools.engine)

    with pytest.raises(errors.RedisUnavailable, match=r"Redis at 127\.0\.0\.1:1/0"):
        go("precompute_facets", away)

    assert stored(tools.engine) == before


def _status(tools: Tools) -> codec.Facet:
    return served(tools.redis, "lead", "1").facets["status"]


def _count(engine: sa.Engine, tenant: str, status: str) -> list[tuple[int]]:
    return rows(
        engine,
        "SELECT n FROM crm_ops.facet_count WHERE entity = 'lead' AND facet = 'status'"
        f" AND tenant = '{tenant}' AND bucket = '{status}'",
    )
