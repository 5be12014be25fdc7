"""Redis that cannot be used is named, with its remedy and without its password, and soon."""

from __future__ import annotations

import socket
import time

import pytest

from crm_ops.base import errors, store
from crm_ops.base.store import translated


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "http://:s3cret@r/0",
        "redis://:x@r:s3cret/0",
        "redis://:s3cret@[::1/0",
        "redis://:12/s3cret@r:1/0",
        "redis://r/0?colour=s3cret",
        "redis://r/0?db=s3cret",
        "redis://r/s3cret",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(errors.SettingsError, match="write redis://") as caught:
        store.client(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://ann:s3cret@r.example:6380/2", "r.example:6380/2"),
        ("rediss://:s3cret@r.example", "r.example:6379/0"),
        ("unix:///run/redis.sock?password=s3cret", "/run/redis.sock"),
    ],
)
def test_an_address_has_no_password(url: str, address: str) -> None:
    assert store.address(store.client(url)) == address


def test_redis_that_answers(redis_url: str) -> None:
    with store.client(redis_url) as client:
        store.check(client)


def test_redis_that_is_away() -> None:
    assert_told("redis://:s3cret@127.0.0.1:1/0", "127.0.0.1:1/0")


def test_redis_that_refuses_our_password(redis_url: str) -> None:
    host, port = redis_url.rpartition("@")[2].removesuffix("/0").split(":")
    assert_told(f"redis://:s3cret@{host}:{port}/0", f"{host}:{port}/0")


def test_redis_that_hangs_costs_a_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert_told(f"redis://:s3cret@127.0.0.1:{port}/0", f"127.0.0.1:{port}/0", timeout_s=0.1)
        assert time.monotonic() - began < 5


def test_a_command_that_redis_refuses(store: store.Client) -> None:
    store.set("text", "x")
    with pytest.raises(errors.RedisUnavailable, match="WRONGTYPE"), translated(store):
        store.lpush("text", "y")


def assert_told(url: str, address: str, timeout_s: float = 5.0) -> None:
    with (
        store.client(url, timeout_s=timeout_s) as client,
        pytest.raises(errors.RedisUnavailable) as caught,
    ):
        store.check(client)
    text = str(caught.value)
    assert f"Redis at {address} (CRM_OPS_REDIS_URL" in text
    assert "crm_redis" in text
    assert "s3cret" not in text
    assert caught.value.__cause__ is not None
