from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import layout, query, reading
from crm_ops.sharing.predicate import Condition
from crm_ops.sharing.rules import Broken, Rule

NEW = Condition("eq", "status", "text", ("new",))
ENTITIES = ["lead", "deal"]

AddRule = Callable[..., str]
CatalogWith = Callable[..., Catalog]


@dataclass(frozen=True)
class Loaded:
    """Rules by tenant and entity, as a warming reads them."""

    rules: Mapping[tuple[str, str], tuple[Rule, ...]]
    broken: tuple[Broken, ...]


def load(
    crm: sa.Engine, catalog: Catalog, tenants: list[str], entities: list[str] = ENTITIES
) -> Loaded:
    with databases.transaction(crm) as connection:
        known = layout.read(connection, catalog, entities)
    found = reading.find(crm, known, tenants, entities)
    assert not found.failures
    read = reading.understood(found, known, entities, datetime.now(UTC))
    return Loaded({(each.tenant, each.entity): each.rules for each in read.rules}, read.broken)


def test_rules_come_by_tenant_and_entity_and_every_pair_is_there(
    crm: sa.Engine, catalog: Catalog, add_rule: AddRule
) -> None:
    first = add_rule()
    second = add_rule(grantee_type="team", grantee_id=7, level="read_write")
    deals = add_rule(company_id=2, entity="deal", predicate={"gt": ["amount", 100000]})
    add_rule(company_id=3)

    loaded = load(crm, catalog, ["1", "2"])

    assert loaded.rules == {
        ("1", "lead"): (
            Rule(first, "lead", NEW, "everyone", None, "read_only"),
            Rule(second, "lead", NEW, "team", "7", "read_write"),
        ),
        ("1", "deal"): (),
        ("2", "lead"): (),
        ("2", "deal"): (
            Rule(
                deals,
                "deal",
                Condition("gt", "amount", "number", ("100000",)),
                "everyone",
                None,
                "read_only",
            ),
        ),
    }
    assert loaded.broken == ()


def test_an_inactive_rule_and_one_of_an_entity_not_asked_for_are_left_out(
    crm: sa.Engine, catalog: Catalog, add_rule: AddRule
) -> None:
    add_rule(is_active=False)
    add_rule(entity="deal", predicate={"nonsense": 1})
    assert load(crm, catalog, ["1"], ["lead"]) == Loaded({("1", "lead"): ()}, ())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"entity": "invoice"}, "unknown entity 'invoice'"),
        ({"entity": None}, "unknown entity None"),
        ({"predicate": {"like": ["status", "n%"]}}, "unknown operator 'like'"),
        ({"predicate": {"eq": ["stage", "won"]}}, "unknown field 'stage'"),
        (
            {"predicate": {"is_null": ["attributes"]}},
            "field attributes has a type that rules cannot test",
        ),
        ({"predicate": None}, "None is not one operator"),
        ({"grantee_type": "group", "grantee_id": 7}, "unknown grantee type 'group'"),
        ({"grantee_type": "team"}, "grantee type team with grantee None"),
        ({"grantee_id": 7}, "grantee type everyone with grantee 7"),
        ({"level": "owner"}, "unknown level 'owner'"),
        ({"level": None}, "unknown level None"),
    ],
)
def test_a_wrong_rule_grants_nothing_and_is_reported(
    crm: sa.Engine, catalog: Catalog, add_rule: AddRule, wrong: dict[str, Any], why: str
) -> None:
    good = add_rule()
    bad = add_rule(**wrong)

    loaded = load(crm, catalog, ["1"])

    assert [rule.id for rule in loaded.rules["1", "lead"]] == [good]
    assert [(each.tenant, each.rule) for each in loaded.broken] == [("1", bad)]
    assert why in loaded.broken[0].why


def test_all_tenants_are_read_by_one_query(
    crm: sa.Engine, catalog: Catalog, add_rule: AddRule
) -> None:
    for company in range(1, 6):
        add_rule(company_id=company)
    seen: list[str] = []
    sa.event.listen(
        crm,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: seen.append(statement),
    )
    load(crm, catalog, [str(company) for company in range(1, 6)])
    assert len([statement for statement in seen if "sharing_rule" in statement]) == 1


def test_an_index_on_the_tenant_column_serves(crm: sa.Engine, catalog: Catalog) -> None:
    assert catalog.sharing is not None
    with databases.transaction(crm) as connection:
        sql.run(
            connection,
            "INSERT INTO crm.sharing_rule (company_id, entity) SELECT n %% 5000, 'lead'"
            " FROM generate_series(1, 50000) AS n",
        )
        sql.run(connection, "ANALYZE crm.sharing_rule")
        plan = sql.run(
            connection,
            "EXPLAIN " + query.rules(layout.read(connection, catalog, ENTITIES)),
            tenants=["1", "2", "3"],
            wanted=ENTITIES,
            known=ENTITIES,
        ).scalars()
        assert "sharing_rule_company_id_idx" in "\n".join(plan)


def test_rows_without_a_tenant_belong_to_the_declared_one(
    crm: sa.Engine, catalog_with: CatalogWith, add_rule: AddRule
) -> None:
    tenancy = {"mode": "column", "table": "crm.company", "null_tenant": "nobody"}
    add_rule(company_id=None)
    add_rule(company_id=1)

    loaded = load(crm, catalog_with(tenancy=tenancy), ["nobody", "1"], ["lead"])

    assert {pair: len(found) for pair, found in loaded.rules.items()} == {
        ("nobody", "lead"): 1,
        ("1", "lead"): 1,
    }


def test_rows_without_a_tenant_are_nobodys_where_none_is_declared(
    crm: sa.Engine, catalog: Catalog, add_rule: AddRule
) -> None:
    add_rule(company_id=None)
    assert load(crm, catalog, ["1"], ["lead"]).rules == {("1", "lead"): ()}


def test_a_crm_of_one_company_needs_no_tenant_column(
    crm: sa.Engine, catalog_with: CatalogWith, add_rule: AddRule
) -> None:
    add_rule()
    with databases.transaction(crm) as connection:
        sql.run(connection, "ALTER TABLE crm.sharing_rule DROP COLUMN company_id")
    catalog = catalog_with(tenancy={"mode": "single", "name": "main"})
    assert len(load(crm, catalog, ["main"]).rules["main", "lead"]) == 1


def test_a_table_that_is_not_there_is_named(crm: sa.Engine, catalog_with: CatalogWith) -> None:
    catalog = catalog_with(rules={"table": "crm.rules"})
    with pytest.raises(errors.CatalogError, match=r"crm\.rules"):
        load(crm, catalog, ["1"])


class TestRowLevelSecurity:
    """A role that policies apply to."""

    @pytest.fixture(autouse=True)
    def _policies(self, crm: sa.Engine) -> None:
        with databases.transaction(crm) as connection:
            sql.run(connection, "ALTER TABLE crm.sharing_rule ENABLE ROW LEVEL SECURITY")
            sql.run(
                connection,
                "CREATE POLICY own ON crm.sharing_rule"
                " USING (company_id = current_setting('app.tenant', true)::bigint)",
            )
            for schema in ("crm", "crm_ops"):
                sql.run(connection, f"GRANT USAGE ON SCHEMA {schema} TO pg_monitor")
                sql.run(connection, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO pg_monitor")

    def load(self, crm: sa.Engine, catalog: Catalog) -> Loaded:
        # Any role but the owner will do: policies apply to it.
        role = sa.create_engine(crm.url, connect_args={"options": "-c role=pg_monitor"})
        try:
            bounded = databases.bounded(role, databases.Limits())
            return load(bounded, catalog, ["1", "2"], ["lead"])
        finally:
            role.dispose()

    def test_each_tenant_is_read_under_its_own_setting(
        self, crm: sa.Engine, catalog_with: CatalogWith, add_rule: AddRule
    ) -> None:
        first, second = add_rule(company_id=1), add_rule(company_id=2)
        tenancy = {"mode": "column", "table": "crm.company", "setting": "app.tenant"}

        loaded = self.load(crm, catalog_with(tenancy=tenancy))

        assert {pair: [rule.id for rule in found] for pair, found in loaded.rules.items()} == {
            ("1", "lead"): [first],
            ("2", "lead"): [second],
        }

    def test_without_a_setting_it_is_an_error_not_a_tenant_without_rules(
        self, crm: sa.Engine, catalog: Catalog, add_rule: AddRule
    ) -> None:
        add_rule()
        with pytest.raises(errors.PermissionMissing, match="BYPASSRLS"):
            self.load(crm, catalog)
