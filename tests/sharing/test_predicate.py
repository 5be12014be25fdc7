from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import errors
from crm_ops.sharing import predicate
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition, Group

FIELDS: dict[str, Kind | None] = {
    "status": "text",
    "source": "text",
    "score": "number",
    "owner_id": "number",
    "is_hot": "boolean",
    "created_at": "timestamp",
    "attributes": None,
}


def test_new_leads_from_web_and_events() -> None:
    text = '{"and": [{"eq": ["status", "new"]}, {"in": ["source", ["web", "event"]]}]}'
    assert predicate.parse(text, FIELDS) == Group(
        "and",
        (
            Condition("eq", "status", "text", ("new",)),
            Condition("in", "source", "text", ("web", "event")),
        ),
    )


def test_every_operator_is_understood() -> None:
    text = """
    {"or": [
        {"not": {"ne": ["status", "new"]}},
        {"lt": ["score", 25.5]}, {"le": ["score", 0]}, {"gt": ["score", 99]}, {"ge": ["score", -1]},
        {"contains": ["source", "R&D"]},
        {"is_null": ["owner_id"]},
        {"eq": ["is_hot", true]},
        {"ge": ["created_at", "2026-01-01T00:00:00Z"]}
    ]}"""
    assert predicate.parse(text, FIELDS) == Group(
        "or",
        (
            Group("not", (Condition("ne", "status", "text", ("new",)),)),
            Condition("lt", "score", "number", ("25.5",)),
            Condition("le", "score", "number", ("0",)),
            Condition("gt", "score", "number", ("99",)),
            Condition("ge", "score", "number", ("-1",)),
            Condition("contains", "source", "text", ("R&D",)),
            Condition("is_null", "owner_id", "number", ()),
            Condition("eq", "is_hot", "boolean", ("true",)),
            Condition("ge", "created_at", "timestamp", ("2026-01-01T00:00:00+00:00",)),
        ),
    )


def test_numbers_are_exact() -> None:
    parsed = predicate.parse('{"eq": ["score", 12345678901234567890.10]}', FIELDS)
    assert parsed == Condition("eq", "score", "number", ("12345678901234567890.10",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("null", "not one operator"),
        ("true", "not one operator"),
        ("{}", "not one operator"),
        ('{"eq": ["status", "new"], "ne": ["status", "old"]}', "not one operator"),
        ('{"like": ["status", "n%"]}', "unknown operator 'like'"),
        ('{"EQ": ["status", "new"]}', "unknown operator 'EQ'"),
        ('{"and": []}', "and cannot take"),
        ('{"or": []}', "or cannot take"),
        ('{"and": {"eq": ["status", "new"]}}', "and cannot take"),
        ('{"and": "status"}', "and cannot take"),
        ('{"not": [{"eq": ["status", "new"]}]}', "not one operator"),
        ('{"eq": ["status"]}', "eq cannot take"),
        ('{"eq": "status"}', "eq cannot take"),
        ('{"eq": [1, "status"]}', "eq cannot take"),
        ('{"in": ["source", []]}', "in cannot take"),
        ('{"in": ["source", "web"]}', "in cannot take"),
        ('{"is_null": ["status", true]}', "is_null cannot take"),
        ('{"eq": ["stage", "won"]}', "unknown field 'stage'"),
        ('{"is_null": ["attributes"]}', "attributes has a type that rules cannot test"),
        ('{"gt": ["is_hot", false]}', "is_hot is a boolean: gt does not apply"),
        ('{"contains": ["score", 5]}', "score is a number: contains does not apply"),
        ('{"eq": ["score", "75"]}', "'75' is no number"),
        ('{"in": ["source", ["web", 5]]}', "5 is no text"),
        ('{"eq": ["status", null]}', "write is_null"),
        ('{"in": ["source", ["web", null]]}', "write is_null"),
        ('{"not": ' * 40 + '{"eq": ["status", "new"]}' + "}" * 40, "nested deeper"),
    ],
)
def test_what_is_not_fully_understood_is_refused(text: str, why: str) -> None:
    with pytest.raises(errors.DataError, match=why):
        predicate.parse(text, FIELDS)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "eq", "in", "is_null", "x"]), parts, max_size=2
        )
        | st.tuples(st.sampled_from([*FIELDS, "x"]), parts).map(list)
    ),
    max_leaves=12,
)


@given(tree=anything)
def test_any_json_is_either_understood_or_refused(tree: object) -> None:
    with suppress(errors.DataError):
        assert predicate.parse(json.dumps(tree), FIELDS) is not None


@given(text=st.text())
def test_any_text_is_either_understood_or_refused(text: str) -> None:
    with pytest.raises(errors.DataError):
        predicate.parse(text, FIELDS)
