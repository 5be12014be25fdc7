"""A search as a user shows and counts what that user may see, as the office's book has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.catalog.facets import ColumnFacet
from crm_ops.read import connect
from crm_ops.read.access import Access
from crm_ops.read.reader import Reader
from crm_ops.schema import migrate
from crm_ops.sharing import install
from tests.read.test_access import SMALL
from tests.sharing import office

_DECLARED = office.catalog()
_LEAD = _DECLARED.entities["lead"].model_copy(
    update={"facets": {"owner": ColumnFacet(column="owner_id")}}
)
CATALOG = _DECLARED.model_copy(update={"entities": {"lead": _LEAD}})


@pytest.fixture
def engine(database: sa.Engine) -> Iterator[sa.Engine]:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    office.fill(database, SMALL)
    made = connect.engine(database.url.render_as_string(hide_password=False))
    yield made
    made.dispose()


@pytest.fixture
def reader(engine: sa.Engine) -> Reader:
    with databases.transaction(engine) as connection:
        return Reader(CATALOG, engine, access=Access(connection, CATALOG))


def test_rows_total_and_counts_are_those_that_the_user_may_see(reader: Reader) -> None:
    for user in (1, 2, 3, 99):
        expected = {
            lead[0]: lead[2] for lead in SMALL.leads if office.level(SMALL, 1, user, lead[0])
        }

        answer = reader.search("lead", tenant=1, as_user=user, sort="id")

        assert [row["id"] for row in answer.rows] == sorted(expected)
        assert answer.total == len(expected)
        owners = {None if each is None else str(each) for each in expected.values()}
        assert {bucket.value for bucket in answer.facets["owner"].buckets} == owners


def test_what_is_revoked_is_gone_from_rows_and_counts_at_once(
    reader: Reader, engine: sa.Engine
) -> None:
    before = reader.search("lead", tenant=1, as_user=1).total
    with databases.transaction(engine) as connection:
        sql.run(connection, "UPDATE office.user SET is_active = false WHERE id = 1")

    after = reader.search("lead", tenant=1, as_user=1)

    assert before > 0
    assert (after.total, after.rows) == (0, ())


def test_a_cursor_of_one_user_is_not_good_for_another(reader: Reader) -> None:
    answer = reader.search("lead", tenant=1, as_user=1, sort="id", limit=1)
    assert answer.next is not None
    assert len(reader.search("lead", tenant=1, as_user=1, sort="id", after=answer.next).rows) == 1
    for other in (2, None):
        with pytest.raises(errors.ParameterError, match="another search"):
            reader.search("lead", tenant=1, as_user=other, sort="id", after=answer.next)
