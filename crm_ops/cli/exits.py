"""The exit codes of the command line, and which error leads to which."""

from __future__ import annotations

from collections.abc import Iterable

from crm_ops.base import errors
from crm_ops.base.results import JobResult

DONE = 0
FAILED = 1
USAGE = 2
UNHEALTHY = 3
PARTIAL = 4
INTERRUPTED = 130


def of_error(error: errors.CrmOpsError) -> int:
    """2 where the call was wrong, 3 for drift, 4 where only some tenants failed, else 1."""
    match error:
        case errors.ParameterError() | errors.SettingsError():
            return USAGE
        case errors.Drift():
            return UNHEALTHY
        case errors.TenantsFailed():
            return PARTIAL
        case _:
            return FAILED


def of_results(results: Iterable[JobResult]) -> int:
    """1 if a job failed, 4 if in one of them some tenants failed, else 0."""
    states = {result.state for result in results}
    if "failed" in states:
        return FAILED
    return PARTIAL if "partial" in states else DONE


__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "PARTIAL",
    "UNHEALTHY",
    "USAGE",
    "of_error",
    "of_results",
]
