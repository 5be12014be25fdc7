from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, names, sql
from crm_ops.base import store as stores
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import codec, install, warm
from crm_ops.sharing.rules import Broken
from crm_ops.sharing.warm import Warmed

KEY = b"the key of a test, not of a CRM."
NOW = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
ENTITIES = ["lead", "deal"]
HOUR = 3600

AddRule = Callable[..., str]


def run(
    crm: sa.Engine,
    store: redis.Redis,
    catalog: Catalog,
    tenants: list[str],
    *,
    signing_key: bytes | None = KEY,
    dry_run: bool = False,
) -> Warmed:
    return warm.warm(
        crm,
        store,
        catalog,
        tenants,
        ENTITIES,
        signing_key=signing_key,
        now=NOW,
        dry_run=dry_run,
    )


def kept(store: redis.Redis, tenant: str, entity: str) -> codec.Entry | None:
    value = store.get(names.sharing_key(entity, tenant))
    assert value is None or isinstance(value, bytes)
    return codec.decode(value, tenant, entity, KEY)


def keys(store: redis.Redis) -> list[bytes]:
    return list(store.scan_iter())


def test_every_tenant_and_entity_is_in_redis_afterwards(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
) -> None:
    rule = add_rule(company_id=1)

    warmed = run(crm, store, catalog, ["1", "2"])

    assert (warmed.wanted, warmed.rules, warmed.written, warmed.present) == (6, 1, 6, 6)
    assert (warmed.coverage, warmed.missing) == (1.0, 0)
    entry = kept(store, "1", "lead")
    assert entry is not None
    assert [each.id for each in entry.rules] == [rule]
    assert entry.as_of == NOW
    nothing = kept(store, "2", "deal")
    assert nothing is not None
    assert nothing.rules == ()


def test_the_bytes_told_are_the_bytes_in_redis(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
) -> None:
    add_rule()
    warmed = run(crm, store, catalog, ["1"])
    assert warmed.bytes_written == sum(store.strlen(key) for key in keys(store))


def test_values_last_until_the_next_night_and_do_not_expire_at_once(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog
) -> None:
    def left() -> list[int]:
        return [store.ttl(key) for key in sorted(keys(store))]

    run(crm, store, catalog, [str(tenant) for tenant in range(50)])
    first = left()
    assert min(first) > 26 * HOUR - 10
    assert max(first) < 27 * HOUR
    assert len(set(first)) > 50
    run(crm, store, catalog, [str(tenant) for tenant in range(50)])
    assert all(abs(a - b) <= 5 for a, b in zip(first, left(), strict=True))


def test_warming_twice_leaves_what_is_there_now(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
) -> None:
    add_rule()
    run(crm, store, catalog, ["1"])
    with databases.transaction(crm) as connection:
        sql.run(connection, "DELETE FROM crm.sharing_rule")
    again = run(crm, store, catalog, ["1"])
    entry = kept(store, "1", "lead")
    assert entry is not None
    assert entry.rules == ()
    assert (again.written, again.present) == (3, 3)


def test_a_dry_run_reads_the_rules_and_says_what_is_there_but_writes_nothing(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
) -> None:
    add_rule()
    add_rule(level="owner")
    warmed = run(crm, store, catalog, ["1"], dry_run=True)
    assert (warmed.rules, warmed.broken_rules) == (1, 1)
    assert (warmed.written, warmed.bytes_written, warmed.present) == (0, 0, 0)
    assert (warmed.missing, warmed.coverage) == (3, 0.0)
    assert store.dbsize() == 0


def test_more_tenants_than_one_chunk_holds(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
) -> None:
    tenants = [str(tenant) for tenant in range(1, 452)]
    last = add_rule(company_id=451)
    warmed = run(crm, store, catalog, tenants)
    assert (warmed.wanted, warmed.written, warmed.present, warmed.rules) == (1353, 1353, 1353, 1)
    entry = kept(store, "451", "lead")
    assert entry is not None
    assert [rule.id for rule in entry.rules] == [last]


def test_a_broken_rule_is_told_by_tenant_and_key_and_the_others_are_kept(
    crm: sa.Engine,
    store: redis.Redis,
    catalog: Catalog,
    add_rule: AddRule,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = add_rule(), add_rule(level="owner")

    with caplog.at_level(logging.WARNING):
        warmed = run(crm, store, catalog, ["1"])

    assert warmed.broken == (Broken("1", bad, "unknown level 'owner'"),)
    assert warmed.broken_rules == 1
    assert f"sharing rule {bad} of tenant 1 grants nothing: unknown level" in caplog.text
    entry = kept(store, "1", "lead")
    assert entry is not None
    assert [rule.id for rule in entry.rules] == [good]


def test_of_many_broken_rules_a_hundred_are_told_and_all_are_counted(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog
) -> None:
    with databases.transaction(crm) as connection:
        sql.run(
            connection,
            "INSERT INTO crm.sharing_rule (company_id, entity)"
            " SELECT n, 'lead' FROM generate_series(1, 250) AS n",
        )
    warmed = run(crm, store, catalog, [str(tenant) for tenant in range(1, 251)])
    assert (warmed.broken_rules, len(warmed.broken)) == (250, 100)


def test_tenants_whose_rules_cannot_be_read_do_not_stop_the_others(
    crm: sa.Engine, store: redis.Redis, catalog_with: Callable[..., Catalog], add_rule: AddRule
) -> None:
    for company in range(1, 31):
        add_rule(company_id=company, grantee_type="user", grantee_id=0 if company in (7, 8) else 1)
    with databases.transaction(crm) as connection:
        sql.run(
            connection,
            "CREATE VIEW crm.rule AS SELECT id, company_id, entity, predicate, grantee_type,"
            " 1 / grantee_id AS grantee_id, level, is_active FROM crm.sharing_rule",
        )
    catalog = catalog_with(rules={"table": "crm.rule"})

    warmed = run(crm, store, catalog, [str(tenant) for tenant in range(1, 31)])

    assert sorted(warmed.failures) == ["7", "8"]
    assert "division by zero" in warmed.failures["7"]
    assert (warmed.rules, warmed.written, warmed.present, warmed.missing) == (28, 84, 84, 6)


def test_without_sharing_in_the_catalog_there_is_nothing_to_warm(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog
) -> None:
    warmed = run(crm, store, catalog.model_copy(update={"sharing": None}), ["1"])
    assert (warmed.wanted, warmed.written, warmed.coverage) == (0, 0, 1.0)


def test_without_a_signing_key_nothing_is_written(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog
) -> None:
    with pytest.raises(errors.SettingsError, match="CRM_OPS_SIGNING_KEY"):
        run(crm, store, catalog, ["1"], signing_key=None)
    assert store.dbsize() == 0


def test_redis_away_is_an_error_that_names_the_connection(crm: sa.Engine, catalog: Catalog) -> None:
    nobody = stores.client("redis://:hidden@127.0.0.1:1/0")
    with pytest.raises(errors.RedisUnavailable, match="crm_redis") as refused:
        run(crm, nobody, catalog, ["1"])
    assert "hidden" not in str(refused.value)


def test_postgresql_away_is_an_error_that_names_the_connection(
    store: redis.Redis, catalog: Catalog
) -> None:
    nobody = databases.engine("postgresql://me:hidden@127.0.0.1:1/crm")
    with pytest.raises(errors.DatabaseUnavailable, match="crm_postgres") as refused:
        run(nobody, store, catalog, ["1"])
    assert "hidden" not in str(refused.value)
    assert store.dbsize() == 0


def test_a_redis_that_dropped_values_shows_in_the_coverage(
    crm: sa.Engine, store: redis.Redis, catalog: Catalog
) -> None:
    run(crm, store, catalog, ["1", "2"])
    store.delete(names.sharing_key("lead", "2"))
    warmed = run(crm, store, catalog, ["1", "2"], dry_run=True)
    assert (warmed.present, warmed.missing, warmed.coverage) == (5, 1, 5 / 6)


class TestEpochs:
    """With the triggers installed."""

    @pytest.fixture(autouse=True)
    def _installed(self, crm: sa.Engine, catalog: Catalog) -> None:
        install.apply(crm, catalog)

    def bypass(self, crm: sa.Engine, statement: str) -> None:
        with databases.transaction(crm) as connection:
            sql.run(connection, "SET LOCAL session_replication_role = replica")
            sql.run(connection, statement)

    def test_a_value_has_the_epoch_of_its_rules(
        self, crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
    ) -> None:
        run(crm, store, catalog, ["1"])
        before = kept(store, "1", "lead")
        add_rule()
        run(crm, store, catalog, ["1"])
        after = kept(store, "1", "lead")
        assert before is not None
        assert after is not None
        assert after.epoch > before.epoch > 0

    def test_what_was_changed_past_the_triggers_is_repaired_and_told(
        self, crm: sa.Engine, store: redis.Redis, catalog: Catalog, add_rule: AddRule
    ) -> None:
        add_rule(company_id=1)
        add_rule(company_id=2)
        assert run(crm, store, catalog, ["1", "2"]).repaired == {}
        before = kept(store, "1", "lead")
        self.bypass(crm, "DELETE FROM crm.sharing_rule WHERE company_id = 1")

        assert run(crm, store, catalog, ["1", "2"], dry_run=True).repaired == {
            "1": ["rules for lead"]
        }
        assert run(crm, store, catalog, ["1", "2"]).repaired == {"1": ["rules for lead"]}
        after = kept(store, "1", "lead")
        assert before is not None
        assert after is not None
        assert after.rules == ()
        assert after.epoch > before.epoch, "what processes remember must end, too"
        assert run(crm, store, catalog, ["1", "2"]).repaired == {}

    def test_a_trigger_that_is_switched_off_ends_all_remembering(
        self, crm: sa.Engine, store: redis.Redis, catalog: Catalog
    ) -> None:
        with databases.transaction(crm) as connection:
            sql.run(
                connection,
                "ALTER TABLE crm.sharing_rule DISABLE TRIGGER crm_ops_sharing_rules_delete",
            )
        assert run(crm, store, catalog, ["1"]).unguarded == (
            "crm.sharing_rule: crm_ops_sharing_rules_delete",
        )
        with databases.transaction(crm) as connection:
            assert not install.kept(connection, catalog)

    def test_many_rows_of_an_epoch_are_joined_and_the_epoch_stays(
        self, crm: sa.Engine, store: redis.Redis, catalog: Catalog
    ) -> None:
        with databases.transaction(crm) as connection:
            sql.run(
                connection,
                "INSERT INTO crm_ops.sharing_epoch (scope, epoch)"
                " SELECT 't:1', n FROM generate_series(1, 100) AS n",
            )
            # A row of a session that lives, who would have to wait for us.
            sql.run(
                connection,
                "INSERT INTO crm_ops.sharing_epoch VALUES ('t:1', pg_backend_pid(), 1000)",
            )
        run(crm, store, catalog, ["1"])
        with databases.transaction(crm) as connection:
            found = sql.run(
                connection,
                "SELECT count(*), sum(epoch)::int FROM crm_ops.sharing_epoch WHERE scope = 't:1'",
            ).one()
        assert tuple(found) == (2, 6050)
