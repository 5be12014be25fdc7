"""A problem of a file names its line and its path."""

from __future__ import annotations

from crm_ops.catalog.document import Document, Place

DOCUMENT = Document(
    file="include/crm_ops.yaml",
    value={"entities": {"lead": {"by": ["a"]}}},
    places={
        (): Place(1, 1),
        ("entities",): Place(1, 1),
        ("entities", "lead"): Place(2, 3),
        ("entities", "lead", "by"): Place(3, 5),
        ("entities", "lead", "by", 0): Place(4, 9),
    },
)


def test_problems_are_told_in_the_order_of_the_file() -> None:
    error = DOCUMENT.refusal(
        [
            DOCUMENT.problem(("entities", "lead", "by", 0), "is no column"),
            DOCUMENT.problem((), "is too long"),
            DOCUMENT.problem(("entities",), "is too short"),
        ]
    )
    assert error.problems == (
        "include/crm_ops.yaml:1: is too long",
        "include/crm_ops.yaml:1: entities: is too short",
        "include/crm_ops.yaml:4: entities.lead.by.0: is no column",
    )


def test_what_is_not_written_has_the_place_of_what_holds_it() -> None:
    assert DOCUMENT.problem(("entities", "lead", "key"), "is missing").place == (2, 3)
    assert DOCUMENT.problem(("limits", "rows"), "is missing").place == (1, 1)
