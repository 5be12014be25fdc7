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


@pytest.mark.parametrize("kept", [0, -1, -12, 1201, 0.5, True, "12", None])
def test_a_retention_that_is_no_number_of_months_is_refused(kept: object) -> None:
    with pytest.raises(ValidationError, match="retention_months"):
        Audit.model_validate(
            {"table": "crm.audit_log", "time": "created_at", "retention_months": kept}
        )


def test_a_retention_shorter_than_the_months_ahead_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorter than the 3 months ahead"):
        Audit(table="crm.audit_log", time="created_at", retention_months=2)


@pytest.mark.parametrize("kept", [0, -1, 11, 1201])
def test_a_tenant_whose_rows_would_leave_before_their_month_is_refused(kept: int) -> None:
    with pytest.raises(ValidationError, match="a tenant's must be 12"):
        Audit(
            table="crm.audit_log",
            time="created_at",
            tenant="company_id",
            retention_months_by_tenant={"7": kept},
        )
