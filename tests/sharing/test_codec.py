from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import names
from crm_ops.sharing import codec, signing
from crm_ops.sharing.codec import Entry
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition, Group, Operator, Predicate
from crm_ops.sharing.rules import GranteeType, Level, Rule

KEY = b"the key of a test, not of a CRM."
NOW = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
ENTRY = Entry(
    "1",
    "lead",
    0,
    NOW,
    (
        Rule(
            "5",
            "lead",
            Condition("eq", "status", "text", ("new",)),
            "team",
            "7",
            "read_only",
        ),
    ),
)


def test_a_value_can_be_read_by_a_person() -> None:
    assert codec.encode(ENTRY, KEY)[64:].decode() == (
        '[3,["1","lead",0,"2026-01-31T03:00:00Z",'
        '[["5","lead",["condition","eq","status","text",["new"]],"team","7","read_only",null]]]]'
    )


def test_what_was_encoded_is_decoded() -> None:
    assert codec.decode(codec.encode(ENTRY, KEY), "1", "lead", KEY) == ENTRY


def test_a_missing_value_is_a_miss() -> None:
    assert codec.decode(None, "1", "lead", KEY) is None


def test_a_value_copied_from_another_tenant_or_entity_is_a_miss() -> None:
    value = codec.encode(ENTRY, KEY)
    assert codec.decode(value, "2", "lead", KEY) is None
    assert codec.decode(value, "1", "deal", KEY) is None


def test_a_value_signed_with_another_key_is_a_miss() -> None:
    assert codec.decode(codec.encode(ENTRY, KEY), "1", "lead", KEY[::-1]) is None


def test_a_value_without_its_signature_is_a_miss() -> None:
    value = codec.encode(ENTRY, KEY)
    assert codec.decode(value[64:], "1", "lead", KEY) is None
    assert codec.decode(b"0" * 64 + value[64:], "1", "lead", KEY) is None


def test_what_another_release_signed_is_a_miss() -> None:
    body = codec.encode(ENTRY, KEY)[64:]
    for other in (b"[1" + body[2:], b'[3,["1","lead"]]', b"[" * 100_000, b"\xff", b""):
        signed = signing.signature(KEY, names.sharing_key("lead", "1"), other) + other
        assert codec.decode(signed, "1", "lead", KEY) is None


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
conditions = st.builds(
    Condition,
    st.sampled_from(get_args(Operator)),
    text,
    st.sampled_from(get_args(Kind)),
    st.lists(text, max_size=4).map(tuple),
)
predicates: st.SearchStrategy[Predicate] = st.recursive(
    conditions,
    lambda parts: st.builds(
        Group,
        st.sampled_from(["and", "or", "not"]),
        st.lists(parts, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=8,
)
rules = st.builds(
    Rule,
    text,
    text,
    predicates,
    st.sampled_from(get_args(GranteeType)),
    st.none() | text,
    st.sampled_from(get_args(Level)),
    st.none() | text,
)
entries = st.builds(
    Entry,
    text,
    text,
    st.integers(0, 2**63 - 1),
    st.datetimes(timezones=st.just(UTC)),
    st.lists(rules, max_size=4).map(tuple),
)


@given(entry=entries)
def test_whatever_is_encoded_is_decoded(entry: Entry) -> None:
    value = codec.encode(entry, KEY)
    assert codec.decode(value, entry.tenant, entry.entity, KEY) == entry


@given(entry=entries, data=st.data())
def test_any_changed_byte_is_a_miss(entry: Entry, data: st.DataObject) -> None:
    value = bytearray(codec.encode(entry, KEY))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    assert codec.decode(bytes(value), entry.tenant, entry.entity, KEY) is None


@given(garbage=st.binary(max_size=300))
def test_garbage_is_a_miss(garbage: bytes) -> None:
    assert codec.decode(garbage, "1", "lead", KEY) is None
