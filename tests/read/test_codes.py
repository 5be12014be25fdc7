"""The codes of a facet count what its bitmaps do."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from crm_ops.read import codes

BUCKETS = [None, *(f"b{number}" for number in range(20))]
rows = st.dictionaries(st.integers(0, 70_000), st.sampled_from(BUCKETS), max_size=60)


def bitmaps(found: dict[int, str | None]) -> dict[str | None, BitMap]:
    return {
        each: BitMap(row for row, bucket in found.items() if bucket == each) for each in BUCKETS
    }


@settings(deadline=None)  # the first imports pyarrow
@given(before=rows, changes=st.lists(rows, max_size=4), asked=st.sets(st.integers(0, 70_000)))
def test_codes_moved_by_any_changes_count_as_intersections_do(
    before: dict[int, str | None], changes: list[dict[int, str | None]], asked: set[int]
) -> None:
    found = before or {3: "b1"}
    made = codes.make(bitmaps(found))
    for change in changes:
        found = {**found, **change}
        assert made is not None
        came = [(bucket, each.to_array()) for bucket, each in bitmaps(change).items()]
        made = codes.moved(made, [*came, ("new", [])])
    for chosen in (BitMap(found), BitMap(asked) & BitMap(found), BitMap()):
        assert made is not None
        assert made.count(chosen) == {
            bucket: n
            for bucket, each in bitmaps(found).items()
            if (n := each.intersection_cardinality(chosen))
        }


def test_what_would_not_pay_has_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = BitMap(range(1000))
    run.run_optimize()
    assert codes.make({"one after the other": run}) is None
    assert codes.make({bucket: BitMap() for bucket in BUCKETS}) is None
    made = codes.make({str(number): BitMap([number]) for number in range(12)})
    assert made is not None
    assert made.bytes == 24
    assert made.suits(BitMap(range(122)))
    assert not made.suits(BitMap(range(123)))
    monkeypatch.setattr(codes, "_MOST_BUCKETS", 12)
    assert codes.moved(made, [("7", array("I", [1]))]) is not None
    assert codes.moved(made, [("too many", array("I", [1]))]) is None
