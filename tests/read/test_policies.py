"""Who may see what, asked by a role that forced row-level security applies to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import install
from tests.read.test_access import SMALL
from tests.sharing import office

TABLES = {"company": "id", "role": "company_id", '"user"': "company_id", "rule": "company_id"}
_DECLARED = office.catalog()
CATALOG = _DECLARED.model_copy(
    update={"tenancy": _DECLARED.tenancy.model_copy(update={"setting": "app.tenant"})}
)
SETTING = "SELECT coalesce(current_setting('app.tenant', true), '')"


@pytest.fixture
def engine(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    office.fill(database, SMALL)
    with databases.transaction(database) as connection:
        for table, column in {**TABLES, "lead": "company_id"}.items():
            for statement in (
                f"ALTER TABLE office.{table} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE office.{table} FORCE ROW LEVEL SECURITY",
                f"CREATE POLICY own ON office.{table}"
                f" USING ({column} = nullif(current_setting('app.tenant', true), '')::bigint)",
            ):
                sql.run(connection, statement)
        # Any role that is neither a superuser nor the owner will do.
        for statement in (
            "GRANT USAGE ON SCHEMA office, crm_ops TO pg_monitor",
            "GRANT SELECT ON ALL TABLES IN SCHEMA office, crm_ops TO pg_monitor",
        ):
            sql.run(connection, statement)
    return database


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with databases.autocommit(engine) as made:
        sql.run(made, "SET ROLE pg_monitor")
        yield made
        sql.run(made, "RESET ROLE")


def test_each_tenant_is_asked_under_its_own_setting(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    access = Access(connection, CATALOG)
    # Twice: the second time from what is remembered.
    for _ in range(2):
        for tenant in ("1", "2"):
            for user in range(1, 5):
                who = User(tenant, str(user))
                seen = {
                    str(lead)
                    for lead in range(1, 4)
                    if office.level(SMALL, int(tenant), user, lead)
                }
                assert {
                    lead for lead in "123" if access.may(connection, who, Record("lead", lead))
                } == seen
                assert access.keys(connection, who, "lead") == seen
    assert sql.run(connection, SETTING).scalar_one() == ""


def test_what_is_revoked_is_not_granted_again(engine: sa.Engine, connection: sa.Connection) -> None:
    access = Access(connection, CATALOG)
    asked = User("1", "3"), Record("lead", "1")
    assert access.may(connection, *asked)
    with databases.transaction(engine) as writer:
        sql.run(writer, "UPDATE office.rule SET is_active = false")
    assert not access.may(connection, *asked)


def test_without_a_setting_it_is_an_error_and_no_refusal(connection: sa.Connection) -> None:
    with pytest.raises(errors.PermissionMissing, match="BYPASSRLS"):
        Access(connection, office.catalog())
