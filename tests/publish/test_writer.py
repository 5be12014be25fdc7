"""A newer value stays, whoever comes later; nothing that is not ours keeps ours out."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest

from crm_ops.base import errors
from crm_ops.base import store as stores
from crm_ops.publish import writer
from crm_ops.publish.codec import VERSION_DIGITS
from crm_ops.publish.writer import Value, Written

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
NOWHERE = "redis://localhost:1/0"
VERSION = int(NOW.timestamp() * 1_000_000)


def value(key: str, version: int, text: str = "{}") -> Value:
    return Value(key, version, f"{version:0{VERSION_DIGITS}d} {text}".encode())


def write(store: stores.Client, *values: Value) -> Written:
    return writer.write(store, values, now=NOW)


def test_values_are_written_and_their_bytes_counted(store: stores.Client) -> None:
    first, second = value("a", VERSION), value("b", VERSION, '{"n": 1}')

    assert write(store, first, second) == Written(
        values=2, outdated=0, bytes=len(first.encoded) + len(second.encoded)
    )

    assert store.mget("a", "b") == [first.encoded, second.encoded]


def test_an_older_value_never_replaces_a_newer_one(store: stores.Client) -> None:
    newer = value("a", VERSION, "newer")
    write(store, newer)

    assert write(store, value("a", VERSION - 1, "older")).outdated == 1
    assert store.get("a") == newer.encoded


def test_the_same_version_is_written_again_so_that_its_life_begins_anew(
    store: stores.Client,
) -> None:
    write(store, value("a", VERSION))
    store.expire("a", 5)

    assert write(store, value("a", VERSION)).outdated == 0
    assert store.ttl("a") > 24 * 3600


@pytest.mark.parametrize(
    "there",
    [
        b"",
        b"OK",
        b"99999999999999999999",
        b"9" * 20 + b"-not a version",
        f"{VERSION + 2 * 86_400_000_000:020d} ".encode() + b"{}",
        b"\xff\x00" * 40,
    ],
    ids=["empty", "short", "digits alone", "no space", "an impossible future", "no text"],
)
def test_what_is_no_value_of_ours_is_overwritten(store: stores.Client, there: bytes) -> None:
    store.set("a", there)
    ours = value("a", VERSION)

    assert write(store, ours).outdated == 0
    assert store.get("a") == ours.encoded


def test_a_clock_that_is_somewhat_ahead_is_believed(store: stores.Client) -> None:
    ahead = value("a", int((NOW + timedelta(hours=23)).timestamp() * 1_000_000))
    write(store, ahead)

    assert write(store, value("a", VERSION)).outdated == 1
    assert store.get("a") == ahead.encoded


def test_another_kind_of_key_is_an_error_that_names_redis(store: stores.Client) -> None:
    store.lpush("a", "x")
    with pytest.raises(errors.RedisUnavailable, match="WRONGTYPE"):
        write(store, value("a", VERSION))


def test_values_live_longer_than_a_day_and_do_not_end_together(store: stores.Client) -> None:
    keys = [f"key {at}" for at in range(50)]
    write(store, *(value(key, VERSION) for key in keys))

    lives = [store.ttl(key) for key in keys]

    assert min(lives) > 25 * 3600
    assert max(lives) <= 27 * 3600
    assert len(set(lives)) > 25


def test_many_values_go_in_pieces_and_all_arrive(store: stores.Client) -> None:
    assert write(store, *(value(f"key {at}", VERSION) for at in range(1_234))).values == 1_234
    assert store.dbsize() == 1_234


def test_after_any_order_of_writers_the_newest_value_stands(redis_url: str) -> None:
    versions = [VERSION + at for at in range(120)]
    random.Random(7).shuffle(versions)

    def publish(mine: list[int]) -> None:
        with stores.client(redis_url) as client:
            for version in mine:
                write(client, value("a", version), value("b", -version + 2 * VERSION))

    threads = [threading.Thread(target=publish, args=(versions[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with stores.client(redis_url) as client:
        assert client.mget("a", "b") == [
            value("a", max(versions)).encoded,
            value("b", 2 * VERSION - min(versions)).encoded,
        ]


def test_redis_that_is_away_is_named() -> None:
    away = stores.client(NOWHERE)
    with pytest.raises(errors.RedisUnavailable, match="localhost:1/0"):
        write(away, value("a", VERSION))


def test_no_values_need_no_redis() -> None:
    assert write(stores.client(NOWHERE)) == Written()
