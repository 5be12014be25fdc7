"""The words of alerts: an incident, the occasion on which it is looked for, and its key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from crm_ops.catalog.schedule import JobName

Kind = Literal["late", "failed", "stale", "runway", "drift", "tenants", "repairs"]


@dataclass(frozen=True)
class Incident:
    """Something that people have to be told of: once, however often it is seen.

    `subject` is the job, the entity or the table; `message` a title, an empty line, and what to
    know and to do.
    """

    kind: Kind
    subject: str
    message: str

    @property
    def key(self) -> str:
        """What makes two sightings the same incident."""
        return key(self.kind, self.subject)


@dataclass(frozen=True)
class Occasion:
    """Why things are looked at now: a run of a job was reported, failed or is late.

    `run` is the scheduler's id of the run, `link` its page and `page` that of all figures, where
    these are known. `reason` is what the scheduler says of a failure, `since` when a run that is
    late was to be done.
    """

    job: JobName
    event: Literal["reported", "failed", "late"]
    run: str
    link: str | None = None
    page: str | None = None
    reason: str | None = None
    since: datetime | None = None


def key(kind: str, subject: str) -> str:
    """The incident's key, as the ledger has it."""
    return f"{kind}:{subject}"


__all__ = ["Incident", "Kind", "Occasion", "key"]
