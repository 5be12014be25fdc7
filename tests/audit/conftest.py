"""The log that the archive's tests begin with."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.audit import logs


@pytest.fixture
def expired(database: sa.Engine) -> sa.Engine:
    """A log with a year-old month of 300 rows of every kind of value, and 20 recent rows."""
    logs.create(database, ["2023-02", "2024-03"])
    logs.run(
        database,
        "INSERT INTO crm.audit_log (company_id, user_id, action, changes, ip, created_at)"
        " SELECT nullif(n %% 7, 0), n, 'say \"' || chr(31) || '-' || repeat('é', n %% 3) || '\\N',"
        " CASE WHEN n %% 5 > 0 THEN jsonb_build_object('n', n / 3.0, 'x', NULL) END,"
        " '10.0.0.1'::inet + n,"
        " timestamptz '2023-02-01 00:00+00' + n * interval '1 hour 3.000001 second'"
        " FROM generate_series(0, 299) n",
    )
    logs.add(database, "2024-03-10", 20)
    return database
