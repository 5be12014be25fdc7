"""The Redis keys: one for each tenant and kind of figure, readable, never two meanings."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import names

KEYS = (names.facets_key, names.aggregates_key, names.sharing_key)
parts = st.text(st.sampled_from("a1:%25 3Aü"), max_size=6)


def test_a_key_as_it_stands_in_redis() -> None:
    assert names.facets_key("lead", "42") == "crmops:facets:lead:42"
    assert names.aggregates_key("deals_by_stage", "acme:eu") == (
        "crmops:aggregates:deals_by_stage:acme%3Aeu"
    )
    assert names.sharing_key("lead", "100%") == "crmops:sharing:lead:100%25"


@given(first=st.tuples(parts, parts), second=st.tuples(parts, parts))
def test_no_two_meanings_share_a_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    made = [key(*pair) for key in KEYS for pair in {first, second}]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("crmops:[a-z]+:[^:]*:[^:]*", key) for key in made)
