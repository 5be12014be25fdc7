"""A ledger without runs, and the project's catalog with two people who are told."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import settings
from crm_ops.catalog import load
from tests.alerts.office import Office
from tests.jobs.conftest import tools

__all__ = ["office", "tools"]


@pytest.fixture
def office(migrated: sa.Engine) -> Office:
    made = Office(migrated, load.load(settings.catalog_path({})).catalog)
    made.channels({"kind": "email", "to": ["ann@example.com"]}, {"kind": "webhook"})
    return made
