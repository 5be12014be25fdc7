"""The kinds of facets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from crm_ops.catalog.facets import ColumnFacet, Facet, RangesFacet, SingleValued

FACET: TypeAdapter[Any] = TypeAdapter(Facet)


def test_a_facet_without_a_kind_is_of_a_column() -> None:
    assert FACET.validate_python({"column": "status"}) == ColumnFacet(column="status")


def test_ranges_are_half_open_with_one_bucket_below_and_one_above() -> None:
    facet = RangesFacet(kind="ranges", column="score", bounds=[0, 25.5, 10_000])
    assert facet.labels() == ["..0", "0..25.5", "25.5..10000", "10000.."]


def test_bounds_are_exactly_as_they_are_written() -> None:
    facet = RangesFacet(kind="ranges", column="rate", bounds=[0.1, 0.3])
    assert facet.bounds == [Decimal("0.1"), Decimal("0.3")]


@pytest.mark.parametrize("bounds", [[0, 50, 25], [0, 0], [25, 25.0], [], [True], ["1"], [None]])
def test_bounds_that_do_not_ascend_or_are_no_numbers_are_refused(bounds: list[Any]) -> None:
    with pytest.raises(ValidationError):
        RangesFacet(kind="ranges", column="score", bounds=bounds)


@pytest.mark.parametrize("bound", [float("inf"), float("nan")])
def test_an_endless_bound_is_refused(bound: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        RangesFacet(kind="ranges", column="score", bounds=[bound])


def test_a_label_and_its_table_come_together() -> None:
    link = {"kind": "link", "table": "crm.lead_tag", "parent": "lead_id", "column": "tag_id"}
    FACET.validate_python({**link, "label_table": "crm.tag", "label": "name"})
    with pytest.raises(ValidationError, match="label_table and label belong together"):
        FACET.validate_python({**link, "label": "name"})


def test_a_link_is_no_dimension() -> None:
    link = {"kind": "link", "table": "crm.lead_tag", "parent": "lead_id", "column": "tag_id"}
    with pytest.raises(ValidationError, match="link"):
        TypeAdapter(SingleValued).validate_python(link)


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../passwd", "Europe"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    facet = {"kind": "date", "column": "created_at", "bucket": "day", "time_zone": zone}
    with pytest.raises(ValidationError, match="is no time zone"):
        FACET.validate_python(facet)


@pytest.mark.parametrize("top", [True, "3", 2.0, 0])
def test_nothing_is_converted(top: object) -> None:
    with pytest.raises(ValidationError):
        FACET.validate_python({"column": "status", "top": top})
