"""What a search of an entity shows, sorts by, and finds by its text."""

from __future__ import annotations

from pydantic import Field, field_validator

from crm_ops.catalog.parts import Column, Part


class Search(Part):
    """The columns of an entity that a search works with."""

    columns: list[Column] = Field(
        default_factory=list, description="What a row shows beside its key."
    )
    sort: list[Column] = Field(
        default_factory=list, description="What rows may be sorted by, beside the key."
    )
    text: list[Column] = Field(
        default_factory=list, max_length=16, description="The texts that words are looked for in."
    )

    @field_validator("columns", "sort", "text")
    @classmethod
    def _distinct(cls, columns: list[str]) -> list[str]:
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: named twice; keep one")
        return columns


__all__ = ["Search"]
