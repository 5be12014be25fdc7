"""The policy of the audit log."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from crm_ops.catalog.audit import Audit


def test_three_months_ahead_and_a_year_back_are_the_default() -> None:
    audit = Audit(table="crm.audit_log", time="created_at")
    assert (audit.months_ahead, audit.retention_months, audit.on_expiry) == (3, 12, "archive")


def test_a_runway_that_can_never_be_reached_is_refused() -> None:
    with pytest.raises(ValidationError, match="1 months ahead are not always 45 days"):
        Audit(table="crm.audit_log", time="created_at", months_ahead=1)
