"""Which tenants are active, and how large they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.catalog.load import Loaded
from crm_ops.sources import tenants

Load = Callable[..., Loaded]
NOBODY = ("where: {is_active: true}", "where: {is_active: true}, null_tenant: nobody")
SINGLE = (
    ("{mode: column, table: crm.company, where: {is_active: true}}", "{mode: single, name: acme}"),
    ("    tenant: company_id\n", ""),
)


def companies(connection: sa.Connection, *active: int) -> None:
    for key in active:
        sql.run(connection, "INSERT INTO crm.company VALUES (%(id)s, 'x', true)", id=key)


def test_active_tenants_are_listed_by_number(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        companies(connection, 10, 9, 100, -1)
        sql.run(connection, "INSERT INTO crm.company VALUES (3, 'x', false), (4, 'x', NULL)")
        assert tenants.active(connection, loaded().catalog) == ["-1", "9", "10", "100"]


def test_text_keys_are_listed_after_numbers_each_once(crm: sa.Engine, loaded: Load) -> None:
    by_name = loaded(("table: crm.company,", "table: crm.company, key: name,"))
    with databases.transaction(crm) as connection:
        sql.run(
            connection,
            "INSERT INTO crm.company VALUES (1, 'b', true), (2, 'B', true), (3, 'b', true),"
            " (4, '12', true), (5, NULL, true), (6, 'ä', true), (7, '2', true)",
        )
        assert tenants.active(connection, by_name.catalog) == ["2", "12", "B", "b", "ä"]


def test_the_tenant_of_rows_without_one_is_active(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        companies(connection, 1)
        assert tenants.active(connection, loaded(NOBODY).catalog) == ["1", "nobody"]


def test_the_tenant_of_rows_without_one_must_not_be_another_s_key(
    crm: sa.Engine, loaded: Load
) -> None:
    confused = loaded((NOBODY[0], "where: {is_active: true}, null_tenant: '1'"))
    with databases.transaction(crm) as connection:
        companies(connection, 1)
        with pytest.raises(errors.DataError, match="null_tenant is '1', which is also the key"):
            tenants.active(connection, confused.catalog)


def test_a_crm_of_one_company_has_one_tenant(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        assert tenants.active(connection, loaded(*SINGLE).catalog) == ["acme"]


def test_wanted_tenants_are_chosen_in_their_order_and_all_where_none_is_named(
    crm: sa.Engine, loaded: Load
) -> None:
    catalog = loaded().catalog
    with databases.transaction(crm) as connection:
        companies(connection, 1, 2, 3)
        assert tenants.chosen(connection, catalog, ["3", "1", "3"]) == ["1", "3"]
        assert tenants.chosen(connection, catalog, []) == ["1", "2", "3"]


def test_wanted_tenants_that_are_not_active_are_named(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        companies(connection, *range(1, 13))
        with pytest.raises(errors.ParameterError) as caught:
            tenants.chosen(connection, loaded().catalog, ["99", "2", "x", "99"])
    assert str(caught.value) == (
        "no active tenant is called 99, x; there are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"
    )


def leads(connection: sa.Connection, company: int | None, count: int) -> None:
    sql.run(
        connection,
        "INSERT INTO crm.lead (id, company_id)"
        " SELECT n + (SELECT count(*) FROM crm.lead), %(company)s::bigint"
        " FROM generate_series(1, %(count)s) AS n",
        company=company,
        count=count,
    )


def test_the_sizes_of_tenants_are_counted(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        leads(connection, 1, 30)
        leads(connection, 2, 5)
        leads(connection, None, 7)
        assert tenants.sizes(connection, loaded().catalog, "lead") == {"1": 30, "2": 5}
        assert tenants.sizes(connection, loaded(NOBODY).catalog, "lead") == {
            "1": 30,
            "2": 5,
            "nobody": 7,
        }


def test_a_large_table_is_sampled(
    crm: sa.Engine, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "_SAMPLED_ROWS", 5_000)
    with databases.transaction(crm) as connection:
        leads(connection, 1, 15_000)
        leads(connection, 2, 5_000)
        sql.run(connection, "ANALYZE crm.lead")
        found = tenants.sizes(connection, loaded().catalog, "lead")
    assert found["1"] == pytest.approx(15_000, rel=0.6)
    assert sum(found.values()) == pytest.approx(20_000, rel=0.6)


def test_a_crm_of_one_company_is_as_large_as_its_table(crm: sa.Engine, loaded: Load) -> None:
    with databases.transaction(crm) as connection:
        leads(connection, 1, 40)
        sql.run(connection, "ANALYZE crm.lead")
        assert tenants.sizes(connection, loaded(*SINGLE).catalog, "lead") == {"acme": 40}
