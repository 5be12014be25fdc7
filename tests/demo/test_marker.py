"""The comment on the schema says whether it is the demo's, and complete."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.demo import marker
from crm_ops.demo.marker import Marker


def test_what_is_written_is_read(database: sa.Engine) -> None:
    made = Marker("small", date(2026, 1, 20), complete=True, rows={"it's 100% \\ odd": 3})
    with database.begin() as connection:
        sql.run(connection, "CREATE SCHEMA crm")
        marker.write(connection, Marker("small", date(2026, 1, 20)))
        marker.write(connection, made)
        assert marker.read(connection) == made


def test_no_schema_and_a_schema_of_somebody_else_have_no_marker(database: sa.Engine) -> None:
    with database.begin() as connection:
        assert marker.read(connection) is None
        sql.run(connection, "CREATE SCHEMA crm")
        assert marker.read(connection) is None
        sql.run(connection, "COMMENT ON SCHEMA crm IS 'Sales, do not touch'")
        assert marker.read(connection) is None
