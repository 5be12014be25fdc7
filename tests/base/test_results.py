"""What batches did adds up to what the job did."""

from __future__ import annotations

from crm_ops.base import results
from crm_ops.base.results import Done


def test_batches_are_added_up_and_failures_kept_by_tenant() -> None:
    first = Done(10, 3, 2, {}, {"rows.lead": 10, "table": "crm.lead", "done": True})
    second = Done(5, 1, 1, {"7": "why"}, {"rows.lead": 5, "rows.deal": 4})

    assert results.total([first, second], tenants=3) == Done(
        rows_seen=15,
        figures_written=4,
        tenants=3,
        failures={"7": "why"},
        details={"rows.lead": 15, "rows.deal": 4},
    )


def test_no_batches_are_nothing_done() -> None:
    assert results.total([], tenants=0) == Done()
