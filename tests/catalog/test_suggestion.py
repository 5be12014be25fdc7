"""What is said of a name that leads nowhere."""

from __future__ import annotations

from crm_ops.catalog import suggestion


def test_what_is_close_is_suggested() -> None:
    assert suggestion.of("statos", ["status", "source"]) == "; did you mean status?"


def test_where_nothing_is_close_it_says_what_there_is() -> None:
    assert suggestion.of("colour", ["status", "source"]) == "; there are status, source"
    assert suggestion.of("colour", []) == "; there are none"


def test_of_many_it_names_some() -> None:
    assert suggestion.of("x", [f"column_{at}" for at in range(300)]).endswith(
        "column_19 and 280 more"
    )
