"""An exit code tells a script what a person reads: done, failed, wrong call, drift, partly."""

from __future__ import annotations

import pytest

from crm_ops.base import errors
from crm_ops.base.results import JobResult, State
from crm_ops.cli import exits


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DatabaseUnavailable(), 1),
        (errors.CatalogError(["x"]), 1),
        (errors.NothingSeen(), 1),
        (errors.ParameterError(), 2),
        (errors.SettingsError(), 2),
        (errors.Drift(), 3),
        (errors.TenantsFailed({"1": "why"}), 4),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_error_s_code(error: errors.CrmOpsError, code: int) -> None:
    assert exits.of_error(error) == code


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["success", "success"], 0),
        (["success", "partial"], 4),
        (["partial", "failed", "success"], 1),
        ([], 0),
    ],
)
def test_the_worst_job_decides(states: list[State], code: int) -> None:
    assert exits.of_results(JobResult("x", state, 0, 0, 0, 0) for state in states) == code
