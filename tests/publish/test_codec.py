"""What goes into Redis comes out the same; what we did not write is a miss, never an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.publish import codec
from crm_ops.publish.codec import AggregateFigures, Bucket, Facet, FacetCounts, Figure

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole = st.integers(0, 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))
decimals = st.none() | st.decimals(allow_nan=False) | st.decimals(places=2, allow_nan=False)
facets = st.builds(
    Facet,
    buckets=st.lists(st.builds(Bucket, st.none() | texts, whole, st.none() | texts), max_size=5),
    other=whole,
)
facet_counts = st.builds(
    FacetCounts,
    entity=texts,
    tenant=texts,
    definition=texts,
    version=whole,
    as_of=moments,
    total=whole,
    facets=st.dictionaries(texts, facets, max_size=4),
)
figures = st.builds(
    Figure,
    dimensions=st.lists(st.none() | texts, max_size=3),
    measured=texts,
    n=whole,
    total=decimals,
    low=decimals,
    high=decimals,
)
aggregate_figures = st.builds(
    AggregateFigures,
    aggregate=texts,
    tenant=texts,
    definition=texts,
    version=whole,
    as_of=moments,
    figures=st.lists(figures, max_size=5),
)

LEADS = FacetCounts(
    entity="lead",
    tenant="42",
    definition="c0ffee",
    version=1_700_000_000_000_000,
    as_of=datetime(2026, 1, 20, tzinfo=UTC),
    total=3,
    facets={"owner": Facet([Bucket("7", 2, "Ann"), Bucket(None, 1)])},
)
DEALS = AggregateFigures(
    aggregate="deals_by_stage",
    tenant="42",
    definition="c0ffee",
    version=1,
    as_of=datetime(2026, 1, 20, tzinfo=UTC),
    figures=[Figure(["won", None], "amount", 2, Decimal("10.50"), Decimal("NaN"))],
)


def test_a_value_as_a_person_reads_it_in_redis() -> None:
    assert codec.encode(LEADS) == (
        b"00001700000000000000 "
        b'{"format":2,"entity":"lead","tenant":"42","definition":"c0ffee",'
        b'"version":1700000000000000,"as_of":"2026-01-20T00:00:00Z","total":3,'
        b'"facets":{"owner":{"buckets":[["7",2,"Ann"],[null,1,null]]}}}'
    )


@given(counts=facet_counts)
def test_any_facet_counts_come_back_the_same(counts: FacetCounts) -> None:
    assert codec.facet_counts(codec.encode(counts), counts.entity, counts.tenant) == counts


@given(found=aggregate_figures)
def test_any_figures_come_back_the_same_to_the_last_digit(found: AggregateFigures) -> None:
    decoded = codec.aggregate_figures(codec.encode(found), found.aggregate, found.tenant)
    assert decoded == found
    # As text, too, for 1.0 is not 1.00 in a report about money.
    assert repr(decoded.figures) == repr(found.figures)


def test_what_is_no_number_comes_back_too() -> None:
    decoded = codec.aggregate_figures(codec.encode(DEALS), "deals_by_stage", "42")
    assert repr(decoded) == repr(DEALS)


@given(first=facet_counts, second=facet_counts)
def test_of_two_values_the_text_in_redis_tells_which_is_newer(
    first: FacetCounts, second: FacetCounts
) -> None:
    texts = [codec.encode(value)[: codec.VERSION_DIGITS] for value in (first, second)]
    assert (texts[0] < texts[1]) == (first.version < second.version)


def other(**changed: object) -> bytes:
    header, _, body = codec.encode(LEADS).partition(b" ")
    return header + b" " + json.dumps({**json.loads(body), **changed}).encode()


@pytest.mark.parametrize(
    "stored",
    [
        None,
        b"",
        b"OK",
        b"\xff" * 40,
        codec.encode(LEADS)[:-1],
        codec.encode(LEADS)[21:],
        other(format=1),
        other(entity="deal"),
        other(tenant="43"),
        other(total="3"),
        other(facets={"owner": {"buckets": [["7"]]}}),
        other(facets=None),
        codec.encode(DEALS),
    ],
    ids=[
        *("nothing", "empty", "garbage", "no text", "cut short", "no version", "another format"),
        *("another entity's", "another tenant's", "no number", "half a bucket", "no facets"),
        "another kind's",
    ],
)
def test_what_we_did_not_write_is_a_miss(stored: bytes | None) -> None:
    assert codec.facet_counts(stored, "lead", "42") is None
    assert codec.aggregate_figures(stored, "leads", "42") is None


@given(garbage=st.binary(max_size=60))
def test_any_garbage_is_a_miss(garbage: bytes) -> None:
    assert codec.facet_counts(garbage, "lead", "42") is None
    assert codec.aggregate_figures(b"%020d " % 7 + garbage, "leads", "42") is None


@given(at=st.integers(0, len(codec.encode(LEADS)) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_never_raises(at: int, byte: int) -> None:
    stored = bytearray(codec.encode(LEADS))
    stored[at] = byte
    found = codec.facet_counts(bytes(stored), "lead", "42")
    assert found is None or isinstance(found, msgspec.Struct)
