"""The audit log: where it is, how far ahead its partitions reach, how long its rows live."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crm_ops.catalog.parts import Column, Part, Table


class Audit(Part):
    """The policy of a table that is partitioned by calendar months in UTC."""

    table: Table
    time: Column
    tenant: Column | None = None
    key: Column = "id"
    months_ahead: int = Field(default=3, ge=1, le=120)
    retention_months: int = Field(
        default=12, ge=1, le=1200, description="Whole calendar months kept beside the current one."
    )
    on_expiry: Literal["archive", "drop", "keep"] = "archive"
    minimum_runway_days: int = Field(
        default=45, ge=0, description="With fewer days of partitions ahead the job fails."
    )


__all__ = ["Audit"]
