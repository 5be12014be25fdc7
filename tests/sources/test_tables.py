"""What is known of the CRM's tables."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.sources import tables

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=63).filter(
    sql.usable
)


def run(connection: sa.Connection, *statements: str) -> None:
    for statement in statements:
        sql.run(connection, statement)


def test_tables_are_described_in_one_query(crm: sa.Engine) -> None:
    lead, nothing = Relation("crm", "lead"), Relation("crm", "leads")
    with databases.transaction(crm) as connection:
        found = tables.inspect(connection, [lead, nothing, lead])
    assert list(found) == [lead]
    table = found[lead]
    assert table.relation == lead
    assert list(table.columns.items())[:5] == [
        ("id", "bigint"),
        ("company_id", "bigint"),
        ("owner_id", "integer"),
        ("status", "character varying(20)"),
        ("score", "numeric(6,2)"),
    ]
    assert table.columns["created_at"] == "timestamp(3) with time zone"
    assert table.not_null == {"id"}
    assert table.primary_key == ("id",)
    assert (table.selectable, table.row_security, table.partitioned) == (True, False, False)


def test_asking_for_nothing_gives_nothing(database: sa.Engine) -> None:
    with databases.transaction(database) as connection:
        assert tables.inspect(connection, []) == {}


def test_a_domain_counts_as_the_type_beneath_it(database: sa.Engine) -> None:
    with databases.transaction(database) as connection:
        run(
            connection,
            "CREATE DOMAIN public.money AS numeric(18, 2)",
            "CREATE DOMAIN public.price AS public.money CHECK (VALUE >= 0)",
            "CREATE TABLE public.deal (amount public.price, gone text)",
            "ALTER TABLE public.deal DROP gone",
        )
        deal = Relation("public", "deal")
        assert tables.inspect(connection, [deal])[deal].columns == {"amount": "numeric(18,2)"}


def test_a_primary_key_is_in_its_own_order(database: sa.Engine) -> None:
    with databases.transaction(database) as connection:
        run(connection, "CREATE TABLE public.a (x int, y int, PRIMARY KEY (y, x))")
        table = Relation("public", "a")
        assert tables.inspect(connection, [table])[table].primary_key == ("y", "x")


def test_a_table_that_was_never_analysed_has_the_rows_its_writers_reported(
    database: sa.Engine,
) -> None:
    deal = Relation("public", "deal")
    with databases.transaction(database) as connection:
        run(
            connection,
            "CREATE TABLE public.deal (id int) WITH (autovacuum_enabled = false)",
            "INSERT INTO public.deal SELECT generate_series(1, 300)",
            "SELECT pg_stat_force_next_flush()",
        )
    with databases.transaction(database) as connection:
        assert tables.inspect(connection, [deal])[deal].estimated_rows == 300
        run(connection, "ANALYZE public.deal")
        assert tables.inspect(connection, [deal])[deal].estimated_rows == 300


def test_the_rows_of_a_partitioned_table_are_those_of_its_leaves(database: sa.Engine) -> None:
    log, leaf = Relation("public", "log"), Relation("public", "log_1")
    with databases.transaction(database) as connection:
        run(
            connection,
            "CREATE TABLE public.log (at int, kind int) PARTITION BY RANGE (at)",
            "CREATE TABLE public.log_1 PARTITION OF public.log FOR VALUES FROM (0) TO (100)",
            "CREATE TABLE public.log_2 PARTITION OF public.log FOR VALUES FROM (100) TO (200)"
            " PARTITION BY LIST (kind)",
            "CREATE TABLE public.log_2_a PARTITION OF public.log_2 FOR VALUES IN (1)",
            "INSERT INTO public.log SELECT n, 1 FROM generate_series(0, 149) AS n",
            "ANALYZE public.log_1, public.log_2_a",
        )
        found = tables.inspect(connection, [log, leaf])
    assert (found[log].estimated_rows, found[log].partitioned) == (150, True)
    assert (found[leaf].estimated_rows, found[leaf].partitioned) == (100, False)


@pytest.mark.parametrize(
    ("partitioning", "key"),
    [
        ("RANGE (at)", ("at",)),
        ("RANGE (kind, at)", ("kind", "at")),
        ("RANGE ((at + 1))", ("",)),
        ("LIST (kind)", ()),
    ],
)
def test_the_columns_of_a_range_partitioning_are_known(
    database: sa.Engine, partitioning: str, key: tuple[str, ...]
) -> None:
    log = Relation("public", "log")
    with databases.transaction(database) as connection:
        run(connection, f"CREATE TABLE public.log (at int, kind int) PARTITION BY {partitioning}")
        assert tables.inspect(connection, [log])[log].range_key == key


def test_a_view_is_a_table_of_unknown_size(crm: sa.Engine) -> None:
    view = Relation("crm", "active")
    with databases.transaction(crm) as connection:
        run(connection, "CREATE VIEW crm.active AS SELECT id, status FROM crm.lead")
        table = tables.inspect(connection, [view])[view]
    assert (list(table.columns), table.estimated_rows) == (["id", "status"], 0)


def test_policies_apply_to_the_roles_they_apply_to(crm: sa.Engine) -> None:
    lead = Relation("crm", "lead")
    with databases.transaction(crm, keep=False) as connection:
        run(
            connection,
            "ALTER TABLE crm.lead ENABLE ROW LEVEL SECURITY",
            "CREATE ROLE clerk_of_tables",
            "GRANT USAGE ON SCHEMA crm TO clerk_of_tables",
            "GRANT SELECT ON crm.lead TO clerk_of_tables",
        )
        assert not tables.inspect(connection, [lead])[lead].row_security
        run(connection, "SET LOCAL ROLE clerk_of_tables")
        assert tables.inspect(connection, [lead])[lead].row_security


def test_a_table_is_selectable_with_both_grants(crm: sa.Engine) -> None:
    lead = Relation("crm", "lead")

    def selectable(connection: sa.Connection) -> bool:
        run(connection, "SET LOCAL ROLE clerk_of_tables")
        found = tables.inspect(connection, [lead])[lead].selectable
        run(connection, "RESET ROLE")
        return found

    with databases.transaction(crm, keep=False) as connection:
        run(connection, "CREATE ROLE clerk_of_tables")
        assert not selectable(connection)
        run(connection, "GRANT SELECT ON crm.lead TO clerk_of_tables")
        assert not selectable(connection)
        run(connection, "GRANT USAGE ON SCHEMA crm TO clerk_of_tables")
        assert selectable(connection)


def test_existing_tables_are_listed_without_partitions(crm: sa.Engine) -> None:
    with databases.transaction(crm) as connection:
        run(connection, "CREATE TABLE crm.audit_log_default PARTITION OF crm.audit_log DEFAULT")
        assert [str(relation) for relation in tables.existing(connection)] == [
            "crm.app_user",
            "crm.audit_log",
            "crm.company",
            "crm.lead",
            "crm.lead_tag",
            "crm.sharing_rule",
            "crm.tag",
        ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schema=NAMES, table=NAMES, column=NAMES)
def test_any_name_survives_the_catalog_and_postgresql(
    database: sa.Engine, schema: str, table: str, column: str
) -> None:
    # PostgreSQL keeps such schemas for itself.
    schema = f"x{schema}"[:10] if schema.startswith("pg_") else schema
    written = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))
    relation = Relation.parse(written)
    assert relation == Relation(schema, table)
    with databases.transaction(database, keep=False) as connection:
        run(
            connection,
            f"CREATE SCHEMA IF NOT EXISTS {sql.identifier(schema)}",
            f"CREATE TABLE {relation.quoted} ({sql.identifier(column)} text)",
        )
        assert tables.inspect(connection, [relation])[relation].columns == {column: "text"}
