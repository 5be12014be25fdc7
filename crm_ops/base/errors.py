"""The few errors of CRM Ops: each names the thing, what was expected, and the remedy.

A class's docstring is its message where none is given. Causes are kept (`raise ... from`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class CrmOpsError(Exception):
    """CRM Ops could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class SettingsError(CrmOpsError):
    """A setting is missing or wrong."""


class ParameterError(CrmOpsError):
    """A parameter names something that is not there."""

    def __init__(self, message: str | None = None, *, parameter: str | None = None) -> None:
        """`parameter` is the name of the one that is wrong, with which the message begins."""
        self.parameter = parameter
        super().__init__(message)


class CatalogError(CrmOpsError):
    """The catalog is wrong; nothing was written."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = "1 problem" if count == 1 else f"{count} problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the catalog has {heading}, nothing was written:\n{lines}")


class DatabaseUnavailable(CrmOpsError):
    """PostgreSQL cannot be reached."""


class DatabaseBusy(CrmOpsError):
    """A lock or a statement took longer than its bound; the next try may succeed."""


class LogGone(DatabaseBusy):
    """A change log was taken away, by another catalog or for good, between two looks at it."""


class DatabaseRefused(CrmOpsError):
    """PostgreSQL refused a statement: the tables are not as the catalog says."""


class PermissionMissing(CrmOpsError):
    """Our database role may not do what the job needs."""


class RedisUnavailable(CrmOpsError):
    """Redis cannot be reached."""


class NothingSeen(CrmOpsError):
    """A job saw no row where the tables hold some."""


class DataError(CrmOpsError):
    """The data cannot be counted as the catalog declares it."""


class Drift(CrmOpsError):
    """A served figure differs from counting from scratch."""


class TenantsFailed(CrmOpsError):
    """Some tenants failed; the others were finished."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        first = "; ".join(f"{tenant}: {why}" for tenant, why in list(self.failures.items())[:5])
        more = len(self.failures) - 5
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{len(self.failures)} tenant(s) failed: {first}{tail}")


class AuditError(CrmOpsError):
    """The audit log's partitions are not as they must be."""


class NotDelivered(CrmOpsError):
    """An alert did not reach its recipient."""


class AirflowError(CrmOpsError):
    """Airflow cannot be reached, or refused."""


class LocalError(CrmOpsError):
    """The local stack could not be started."""


__all__ = [
    "AirflowError",
    "AuditError",
    "CatalogError",
    "CrmOpsError",
    "DataError",
    "DatabaseBusy",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "Drift",
    "LocalError",
    "LogGone",
    "NotDelivered",
    "NothingSeen",
    "ParameterError",
    "PermissionMissing",
    "RedisUnavailable",
    "SettingsError",
    "TenantsFailed",
]
