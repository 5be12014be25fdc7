"""What a batch of work and a whole job did, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["success", "partial", "failed"]


@dataclass(frozen=True)
class Done:
    """What one batch saw and did.

    `rows_seen` counts rows of the CRM (or partitions, for the audit log); `figures_written` what
    was stored or published; `failures` says by tenant what went wrong; `details` holds the batch's
    own figures, JSON-ready.
    """

    rows_seen: int = 0
    figures_written: int = 0
    tenants: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def total(parts: Iterable[Done], *, tenants: int) -> Done:
    """The sums of `parts`, which concern `tenants` tenants; whole numbers in details are added."""
    rows_seen = figures_written = 0
    failures: dict[str, str] = {}
    details: Counter[str] = Counter()
    for part in parts:
        rows_seen += part.rows_seen
        figures_written += part.figures_written
        failures.update(part.failures)
        details.update({key: value for key, value in part.details.items() if type(value) is int})
    return Done(rows_seen, figures_written, tenants, failures, dict(details))


@dataclass(frozen=True)
class JobResult:
    """What one run of a job did; `error` is None where `state` is "success"."""

    job: str
    state: State
    tenants: int
    rows_seen: int
    figures_written: int
    took_ms: int
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


__all__ = ["Done", "JobResult", "State", "total"]
