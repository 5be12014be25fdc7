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
    object: tuple[Column, ...] = Field(
        default_factory=tuple,
        strict=False,
        description="The columns that name what a row is about, for holds on one object.",
    )
    months_ahead: int = Field(
        default=3, ge=1, le=120, description="Months after the current one that have a partition."
    )
    retention_months: int = Field(
        default=12, ge=1, le=1200, description="Whole calendar months kept beside the current one."
    )
    retention_months_by_tenant: dict[str, int] = Field(
        default_factory=dict,
        description="Tenants whose rows are kept longer: a month that holds some waits for them.",
    )
    on_expiry: Literal["archive", "drop", "keep"] = Field(
        default="archive", description="What happens to a month that is past its retention."
    )
    grace_days: int = Field(
        default=7, ge=0, le=3650, description="Days between detaching a month and dropping it."
    )
    archive: str = Field(
        default="../audit_archive",
        min_length=1,
        description="Where archives lie: a folder, relative to this file, or a URL.",
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

    @model_validator(mode="after")
    def _long_enough(self) -> Audit:
        if self.retention_months < self.months_ahead:
            raise ValueError(
                f"a retention of {self.retention_months} months is shorter than the"
                f" {self.months_ahead} months ahead: raise retention_months"
            )
        if self.retention_months_by_tenant and self.tenant is None:
            raise ValueError("retention_months_by_tenant needs the column `tenant`")
        for tenant, kept in self.retention_months_by_tenant.items():
            if not self.retention_months <= kept <= 1200:
                raise ValueError(
                    f"the tenant {tenant!r} has a retention of {kept} months; a month leaves whole,"
                    f" so a tenant's must be {self.retention_months} (retention_months) to 1200"
                )
        return self


__all__ = ["Audit"]
