"""The audit log: where it is, how far ahead its partitions reach, how long its rows live."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from crm_ops.catalog.parts import Column, Part, Table


class Audit(Part):
    """The policy of a table that is partitioned by calendar months in UTC."""

    table: Table = Field(description="The partitioned table, as schema.table.")
    time: Column = Field(description="The column that it is partitioned by.")
    tenant: Column | None = Field(default=None, description="The column that names a row's tenant.")
    key: Column = Field(default="id", description="The column that identifies a row.")
    months_ahead: int = Field(
        default=3, ge=1, le=120, description="Months after the current one that have a partition."
    )
    retention_months: int = Field(
        default=12, ge=1, le=1200, description="Whole calendar months kept beside the current one."
    )
    on_expiry: Literal["archive", "drop", "keep"] = Field(
        default="archive", description="What happens to a month that is past its retention."
    )
    minimum_runway_days: int = Field(
        default=45, ge=0, description="With fewer days of partitions ahead the job fails."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Audit:
        if self.minimum_runway_days > 28 * self.months_ahead:
            raise ValueError(
                f"{self.months_ahead} months ahead are not always {self.minimum_runway_days} days:"
                " raise months_ahead or lower minimum_runway_days"
            )
        return self


__all__ = ["Audit"]
