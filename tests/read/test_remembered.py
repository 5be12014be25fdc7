"""What was counted is shown again with its labels, as long as there is room for it."""

from __future__ import annotations

from crm_ops.read import remembered
from crm_ops.read.remembered import Labels, Remembered
from crm_ops.read.shown import Columns


def facet(buckets: int) -> Columns:
    return Columns(tuple(map(str, range(buckets))), (None,) * buckets, (1,) * buckets, 0)


def test_counts_depend_on_the_filters_of_other_facets_alone() -> None:
    new, hot = frozenset({"new"}), frozenset({"hot", None})

    assert remembered.asked("state", {"state": new, "tag": hot}) == remembered.asked(
        "state", {"tag": hot}
    )
    assert remembered.asked("state", {"tag": hot}) != remembered.asked("tag", {"tag": hot})
    assert remembered.asked("size", {"tag": hot}) != remembered.asked("size", {"tag": new})


def test_what_was_shown_is_shown_again_with_the_same_labels_only() -> None:
    held, labels = Remembered(10_000), Labels()
    key = remembered.asked("state", {})
    held.put(key, labels, facet(2))

    assert held.get(key, labels) == facet(2)
    assert held.get(key, Labels()) is None
    assert held.get(remembered.asked("size", {}), labels) is None


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    held, labels = Remembered(10_000), Labels()
    keys = [
        remembered.asked("state", {"size": frozenset({str(number)})}) for number in range(1_000)
    ]
    for key in keys:
        held.put(key, labels, facet(9))

    assert held.get(keys[-1], labels) == facet(9)
    assert 0 < sum(held.get(key, labels) is not None for key in keys) <= 20
