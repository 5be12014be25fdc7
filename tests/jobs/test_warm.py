"""After a warming every active tenant finds in Redis all that it may ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crm_ops.base import database, errors, names, sql
from crm_ops.jobs import warm
from crm_ops.jobs.work import Tools
from crm_ops.publish import codec
from crm_ops.sharing import install as sharing
from tests.jobs.conftest import execute, go, rows, stored, without

TENANTS = [str(tenant) for tenant in range(1, 15) if tenant != 13]


def keys(tools: Tools) -> set[str]:
    return {key.decode() for key in tools.redis.scan_iter()}


def test_alone_on_a_fresh_database_it_fills_everything(tools: Tools) -> None:
    done = go("warm_caches", tools)

    assert (done.state, done.error, done.tenants) == ("success", None, len(TENANTS))
    entities, aggregates = tools.catalog.entities, tools.catalog.aggregates
    wanted = {
        *(names.facets_key(entity, tenant) for entity in entities for tenant in TENANTS),
        *(names.aggregates_key(name, tenant) for name in aggregates for tenant in TENANTS),
        *(names.sharing_key(entity, tenant) for entity in entities for tenant in TENANTS),
        *(names.organisation_key(tenant) for tenant in TENANTS),
    }
    assert keys(tools) == wanted
    kinds = ("facets", "aggregates", "sharing")
    assert done.figures_written == sum(done.details[f"{kind}_wanted"] for kind in kinds)
    assert min(tools.redis.ttl(key) for key in wanted) > 24 * 3600
    for kind, per_tenant in (
        ("facets", entities),
        ("aggregates", aggregates),
        ("sharing", [*entities, "and people"]),
    ):
        assert done.details[f"{kind}_wanted"] == len(per_tenant) * len(TENANTS)
        assert done.details[f"{kind}_present"] == len(per_tenant) * len(TENANTS)


def test_what_it_fills_in_equals_what_the_counting_jobs_publish(tools: Tools) -> None:
    def published() -> dict[str, object]:
        found: dict[str, object] = {}
        for tenant in TENANTS:
            key = names.facets_key("lead", tenant)
            counts = codec.facet_counts(tools.redis.get(key), "lead", tenant)
            assert counts is not None
            found[key] = (counts.total, counts.facets)
            key = names.aggregates_key("deals_by_stage", tenant)
            figures = codec.aggregate_figures(tools.redis.get(key), "deals_by_stage", tenant)
            assert figures is not None
            # In which order is not said.
            found[key] = sorted(figures.figures, key=repr)
        return found

    go("warm_caches", tools)
    warmed = published()
    tools.redis.flushall()
    go("precompute_facets", tools)
    go("precompute_aggregates", tools)

    assert published() == warmed


def test_figures_that_are_there_are_not_counted_again(tools: Tools) -> None:
    go("precompute_facets", tools)
    go("precompute_aggregates", tools)
    before = stored(tools.engine)
    tools.redis.flushall()

    done = go("warm_caches", tools)

    assert stored(tools.engine) == before
    assert done.details["facets_present"] == 4 * len(TENANTS)


def test_what_redis_is_behind_with_is_published_again(tools: Tools) -> None:
    def total() -> int:
        counts = codec.facet_counts(tools.redis.get(key), "lead", "2")
        assert counts is not None
        return counts.total

    key = names.facets_key("lead", "2")
    go("precompute_facets", tools)
    old, before = tools.redis.get(key), total()
    execute(tools.engine, "INSERT INTO crm.lead (company_id, name) VALUES (2, 'x')")
    go("precompute_facets", tools)
    assert isinstance(old, bytes)
    tools.redis.set(key, old)
    assert total() == before

    go("warm_caches", tools)

    assert total() == before + 1


def test_a_dry_run_writes_nothing_and_tells_what_is_lacking(tools: Tools) -> None:
    before = stored(tools.engine)

    told = go("warm_caches", tools, dry_run=True)

    assert told.state == "success"
    assert stored(tools.engine) == before
    assert tools.redis.dbsize() == 0
    assert told.details["facets_wanted"] == 4 * len(TENANTS)
    assert told.details["facets_present"] == 0


def test_only_what_is_asked_for_is_warmed(tools: Tools) -> None:
    go("warm_caches", tools, entities=("contact",), tenants=("2",))
    assert keys(tools) == {
        names.facets_key("contact", "2"),
        names.sharing_key("contact", "2"),
        names.organisation_key("2"),
    }


def test_tenants_of_several_batches_are_all_told(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_TENANTS_PER_BATCH", 5)

    done = go("warm_caches", tools)

    assert done.tenants == len(TENANTS)
    batches = rows(tools.engine, "SELECT label, tenants FROM crm_ops.batch ORDER BY number")
    assert [tenants for _, tenants in batches] == [5, 5, 3]


def test_a_tenant_that_cannot_be_counted_does_not_keep_the_others_cold(
    changed: Callable[..., Tools],
) -> None:
    tools = changed(("distinct_values_per_facet: 20000", "distinct_values_per_facet: 500"))
    execute(
        tools.engine,
        "INSERT INTO crm.lead (company_id, name, status)"
        " SELECT 2, 'x', 'status ' || n FROM generate_series(1, 501) AS n",
    )

    done = go("warm_caches", tools)

    assert (done.state, done.tenants) == ("partial", len(TENANTS) - 1)
    assert done.error is not None
    assert done.error.startswith("1 tenant(s) failed: 2: lead.")
    assert names.facets_key("lead", "2") not in keys(tools)
    assert names.facets_key("lead", "3") in keys(tools)
    assert names.sharing_key("lead", "2") in keys(tools)


def test_redis_that_drops_what_was_written_fails_the_job(tools: Tools) -> None:
    tools.redis.config_set("maxmemory-policy", "allkeys-lru")
    used = int(tools.redis.info("memory")["used_memory"])
    tools.redis.config_set("maxmemory", used + 60_000)
    try:
        done = go("warm_caches", tools)
    finally:
        tools.redis.config_set("maxmemory", 0)
        tools.redis.config_set("maxmemory-policy", "noeviction")

    assert done.state == "failed"
    assert done.error is not None
    assert "right after they were written; see its maxmemory" in done.error


def test_without_a_signing_key_nothing_is_written(tools: Tools) -> None:
    with pytest.raises(errors.SettingsError, match="CRM_OPS_SIGNING_KEY"):
        go("warm_caches", replace(tools, signing_key=None))
    assert tools.redis.dbsize() == 0


def test_where_no_sharing_is_declared_no_key_is_needed(tools: Tools) -> None:
    bare = without(tools, "sharing")

    done = go("warm_caches", replace(bare, signing_key=None))

    assert (done.state, done.error) == ("success", None)
    assert names.facets_key("lead", "1") in keys(tools)
    assert not [key for key in keys(tools) if "sharing" in key]


def test_the_ledger_tells_what_was_repaired_and_what_is_wrong_by_name(tools: Tools) -> None:
    sharing.apply(tools.engine, tools.catalog)
    first = go("warm_caches", tools)
    assert (first.details["sharing_repaired"], first.details["sharing_epochs_moved"]) == (0, 0)
    execute(
        tools.engine,
        "INSERT INTO crm.sharing_rule"
        " (id, company_id, entity, name, predicate, grantee_type, level)"
        " VALUES (90001, 3, 'lead', 'All of EMEA', '{\"like\": 1}', 'everyone', 'read_only')",
    )
    with database.transaction(tools.engine) as connection:
        sql.run(connection, "SET LOCAL session_replication_role = replica")
        sql.run(connection, "UPDATE crm.app_user SET is_active = false WHERE company_id = 2")

    done = go("warm_caches", tools)

    assert done.details["sharing_repaired"] == 1
    assert done.details["sharing_epochs_moved"] == 2
    assert done.details["sharing_rules_broken"] == 1
    assert done.details["sharing_present"] == done.details["sharing_wanted"]
    assert done.details["sharing_bytes"] > 0
    [batch] = rows(tools.engine, "SELECT details FROM crm_ops.batch ORDER BY run_id DESC LIMIT 1")
    assert batch[0]["sharing_repairs"] == {"2": ["users, roles and default"]}
    [wrong] = batch[0]["sharing_broken"]
    assert (wrong["tenant"], wrong["rule"], wrong["name"]) == ("3", "90001", "All of EMEA")
    assert wrong["why"] == "unknown operator 'like'"
