"""Random orders of every kind of value, for hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from tests.fold.shop import Order

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
states = st.none() | st.sampled_from(["new", "won", "a%b", "x'y\\", "é" * 150]) | texts
sizes = (
    st.none()
    | st.decimals(-10, 130, places=2)
    | st.sampled_from([Decimal(x) for x in ("25", "25.5", "62.50", "100", "NaN", "Infinity")])
)
companies = st.sampled_from([1, 1, 1, 2, 3, None])
tags = st.lists(st.sampled_from(["hot", "cold", "old"]), max_size=4).map(tuple)
orders = st.builds(
    Order,
    id=st.just(0),
    company=companies,
    state=states,
    size=sizes,
    person=st.none() | st.integers(1, 5),
    placed=st.none()
    | st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31)).map(
        lambda moment: moment.replace(tzinfo=UTC)
    ),
    color=st.none() | st.sampled_from(["red", "", "très vert"]),
    deleted=st.booleans(),
    currency=st.sampled_from([None, "EUR", "USD"]),
    tags=tags,
)
