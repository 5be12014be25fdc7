"""A catalog is compared with the database, and everything wrong is told at once with its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.catalog.load import Loaded
from crm_ops.sources import check

Load = Callable[..., Loaded]


def problems(connection: sa.Connection, loaded: Loaded) -> list[str]:
    """What is wrong, without the file's name."""
    try:
        check.check(connection, loaded)
    except errors.CatalogError as error:
        return [problem.removeprefix(f"{loaded.document.file}:") for problem in error.problems]
    return []


def test_a_catalog_that_fits_passes(crm: sa.Engine, loaded: Load) -> None:
    with database.transaction(crm) as connection:
        assert problems(connection, loaded()) == []


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(
    crm: sa.Engine, loaded: Load
) -> None:
    wrong = loaded(
        ("table: crm.company", "table: crm.companies"),
        ("{column: status}", "{column: statos}"),
        ("column: score, bounds", "column: status, bounds"),
        ("{avg: score}", "{avg: born}"),
    )
    with database.transaction(crm) as connection:
        assert problems(connection, wrong) == [
            "2: tenancy.table: there is no table crm.companies; did you mean crm.company?",
            "10: entities.lead.facets.status.column: crm.lead has no column statos; did you mean"
            " status?",
            "16: entities.lead.facets.points.column: crm.lead.status is character varying(20);"
            " name a column that is a number",
            "25: aggregates.figures.measures.mean.avg: crm.lead.born is date; name a column that is"
            " a number",
        ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "table: crm.lead\n",
            "table: sales.lead\n",
            "5: entities.lead.table: there is no table sales.lead; there are crm.lead",
        ),
        (
            "owner: owner_id",
            "key: lead_number",
            "8: entities.lead.key: crm.lead has no column lead_number; there are id, company_id,",
        ),
        (
            "column: created_at",
            "column: status",
            "17: entities.lead.facets.month.column: crm.lead.status is character varying(20);"
            " name a column that is a date, timestamp or timestamptz",
        ),
        (
            "column: born",
            "column: score",
            "19: entities.lead.dimensions.birthday.column: crm.lead.score is numeric(6,2);",
        ),
        (
            "column: attributes",
            "column: status",
            "15: entities.lead.facets.country.column: crm.lead.status is character varying(20);"
            " name a column that is json or jsonb",
        ),
        (
            "table: crm.app_user",
            "table: crm.users",
            "11: entities.lead.facets.user.table: there is no table crm.users;",
        ),
        (
            "table: crm.app_user, label: name",
            "table: crm.app_user, label: nam",
            "11: entities.lead.facets.user.label: crm.app_user has no column nam; did you mean",
        ),
        (
            "parent: lead_id",
            "parent: leads_id",
            "13: entities.lead.facets.tags.parent: crm.lead_tag has no column leads_id; did you",
        ),
        (
            "column: owner_id, table: crm.app_user",
            "column: status, table: crm.app_user",
            "11: entities.lead.facets.user.column: crm.lead.status is character varying(20), but"
            " crm.app_user.id, in which it is looked for, is bigint; name columns of one type",
        ),
        (
            "tenant: company_id\n",
            "tenant: status\n",
            "6: entities.lead.tenant: crm.lead.status is character varying(20), but crm.company.id,"
            " in which it is looked for, is bigint; name columns of one type",
        ),
        (
            "currency: currency",
            "currency: money",
            "24: aggregates.figures.currency: crm.lead has no column money; there are",
        ),
        (
            "table: crm.audit_log, time: created_at",
            "table: crm.lead, time: created_at",
            "26: audit.time: crm.lead is not partitioned by RANGE (created_at);",
        ),
        (
            "table: crm.sharing_rule",
            "table: crm.sharing_rule, level: access",
            "27: sharing.rules.level: crm.sharing_rule has no column access; there are",
        ),
        (
            "table: crm.sharing_rule",
            "table: crm.sharing_rule, name: title",
            "27: sharing.rules.name: crm.sharing_rule has no column title; there are",
        ),
        (
            "table: crm.sharing_rule",
            "table: crm.sharing_rule, active: level",
            "27: sharing.rules.active: crm.sharing_rule.level is text; name a column that is"
            " boolean",
        ),
        (
            "is_active: true",
            "active: true",
            "2: tenancy.where.active: crm.company has no column active; did you mean is_active?",
        ),
    ],
)
def test_a_problem_names_its_line_its_path_and_the_remedy(
    crm: sa.Engine, loaded: Load, old: str, new: str, problem: str
) -> None:
    with database.transaction(crm) as connection:
        told = problems(connection, loaded((old, new)))
    assert any(each.startswith(problem) for each in told), told


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("is_hot: yes", "is boolean; write true or false, without quotes"),
        ("is_hot: [true, 'f']", "is boolean; write true or false, without quotes"),
        ("is_hot: 1", "is boolean, which this cannot be compared with: operator does not exist"),
        ("status: true", "is character varying(20), which this cannot be compared with: operator"),
        ("status: {not: 7}", "is character varying(20), which this cannot be compared with"),
        ("score: [1, much]", "is numeric(6,2), which this cannot be compared with: invalid input"),
        ("born: 31.12.x", "is date, which this cannot be compared with: invalid input syntax"),
    ],
)
def test_a_filter_s_value_must_be_comparable_with_its_column(
    crm: sa.Engine, loaded: Load, where: str, reason: str
) -> None:
    column = where.partition(":")[0]
    with database.transaction(crm) as connection:
        (told,) = problems(
            connection, loaded(("{deleted_at: null, is_hot: {not: false}}", f"{{{where}}}"))
        )
    assert told.startswith(f"7: entities.lead.where.{column}: crm.lead.{column} {reason}")


@pytest.mark.parametrize(
    "where",
    ["score: [1, 2.5, null]", "score: '7'", "born: 2024-01-31", "status: {not: [a, null]}"],
)
def test_values_that_postgresql_can_compare_pass(crm: sa.Engine, loaded: Load, where: str) -> None:
    fitting = loaded(("{deleted_at: null, is_hot: {not: false}}", f"{{{where}}}"))
    with database.transaction(crm) as connection:
        assert problems(connection, fitting) == []


def test_whole_numbers_of_any_width_may_refer_to_each_other(crm: sa.Engine, loaded: Load) -> None:
    with database.transaction(crm) as connection:
        sql.run(connection, "ALTER TABLE crm.company ALTER id TYPE integer")
        assert problems(connection, loaded()) == []


def test_a_table_that_our_role_cannot_read_is_named_with_the_grant(
    crm: sa.Engine, loaded: Load
) -> None:
    with database.transaction(crm, keep=False) as connection:
        sql.run(connection, "CREATE ROLE counting_clerk")
        sql.run(connection, "GRANT USAGE ON SCHEMA crm TO counting_clerk")
        sql.run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO counting_clerk")
        sql.run(connection, "REVOKE SELECT ON crm.lead FROM counting_clerk")
        sql.run(connection, "SET LOCAL ROLE counting_clerk")
        assert problems(connection, loaded()) == [
            "5: entities.lead.table: the role counting_clerk may not read crm.lead; grant it SELECT"
            " on the table and USAGE on the schema crm"
        ]


def test_a_schema_that_our_role_cannot_use_is_one_problem_for_each_table(
    crm: sa.Engine, loaded: Load
) -> None:
    with database.transaction(crm, keep=False) as connection:
        sql.run(connection, "CREATE ROLE counting_clerk")
        sql.run(connection, "SET LOCAL ROLE counting_clerk")
        told = problems(connection, loaded())
    assert len(told) == 7
    assert all("the role counting_clerk may not read crm." in each for each in told)


def policies(connection: sa.Connection) -> None:
    """Row-level security on leads, and a role that may read everything else."""
    sql.run(connection, "INSERT INTO crm.lead (id, company_id) VALUES (1, 1)")
    sql.run(connection, "ANALYZE crm.lead")
    sql.run(connection, "ALTER TABLE crm.lead ENABLE ROW LEVEL SECURITY")
    sql.run(
        connection,
        "CREATE POLICY own ON crm.lead"
        " USING (company_id = current_setting('app.tenant_id')::bigint)",
    )
    sql.run(connection, "CREATE ROLE counting_clerk")
    sql.run(connection, "GRANT USAGE ON SCHEMA crm TO counting_clerk")
    sql.run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO counting_clerk")


def test_policies_that_hide_rows_are_told_before_a_count_of_nothing(
    crm: sa.Engine, loaded: Load
) -> None:
    with database.transaction(crm, keep=False) as connection:
        policies(connection)
        assert problems(connection, loaded()) == []
        sql.run(connection, "SET LOCAL ROLE counting_clerk")
        assert problems(connection, loaded()) == [
            "5: entities.lead.table: the role counting_clerk sees only what policies of crm.lead"
            " show it; grant it BYPASSRLS or declare tenancy.setting"
        ]


def test_a_declared_setting_answers_the_policies(crm: sa.Engine, loaded: Load) -> None:
    setting = loaded(("where: {is_active: true}", "setting: app.tenant_id"))
    with database.transaction(crm, keep=False) as connection:
        policies(connection)
        sql.run(connection, "SET LOCAL ROLE counting_clerk")
        assert problems(connection, setting) == []


def test_the_transaction_stays_usable_after_problems(crm: sa.Engine, loaded: Load) -> None:
    wrong = loaded(("is_hot: {not: false}", "status: 1"))
    with database.transaction(crm) as connection:
        assert problems(connection, wrong)
        assert sql.run(connection, "SELECT 1").scalar_one() == 1


def test_in_mode_single_no_tenant_column_is_needed(crm: sa.Engine, loaded: Load) -> None:
    single = loaded(
        ("{mode: column, table: crm.company, where: {is_active: true}}", "{mode: single}"),
        ("    tenant: company_id\n", ""),
        ("table: crm.sharing_rule", "table: crm.sharing_rule, tenant: nowhere"),
    )
    with database.transaction(crm) as connection:
        assert problems(connection, single) == []
