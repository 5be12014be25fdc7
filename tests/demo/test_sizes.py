"""Three sizes, from seconds to a load test."""

from __future__ import annotations

from crm_ops.demo import sizes


def test_a_size_is_found_by_its_name() -> None:
    assert {name: size.leads for name, size in sizes.SIZES.items()} == {
        "small": 10_000,
        "medium": 1_000_000,
        "large": 5_000_000,
    }
