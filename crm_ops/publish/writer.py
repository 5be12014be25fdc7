"""Puts whole values into Redis, never an older one over a newer one.

Values are pipelined. Each expires after more than a day, so that what nobody refreshes any more (a
tenant that left) goes away, and a nightly warming finds the others still there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from crm_ops.base import store
from crm_ops.publish import seal
from crm_ops.publish.codec import VERSION_DIGITS

LIFETIME = timedelta(hours=26)
_JITTER_S = 3600
_AT_ONCE = 500
# A version is a moment in microseconds; one that lies further ahead than any clock's error was not
# written by us and must not keep our values out.
_CLOCK_ERROR = timedelta(days=1)

_SET_UNLESS_NEWER = f"""
local version = string.match(redis.call('GETRANGE', KEYS[1], 0, {VERSION_DIGITS}), '^(%d+) $')
if version and version > ARGV[2] and version < ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True)
class Value:
    """An encoded value, its key and its version."""

    key: str
    version: int
    encoded: bytes


@dataclass(frozen=True)
class Written:
    """How many values were given to Redis, how many it kept out as older, and their bytes."""

    values: int = 0
    outdated: int = 0
    bytes: int = 0

    def __add__(self, other: Written) -> Written:
        """Both together."""
        return Written(
            self.values + other.values, self.outdated + other.outdated, self.bytes + other.bytes
        )


def write(
    client: store.Client,
    values: Iterable[Value],
    *,
    now: datetime,
    signing_key: bytes | None = None,
) -> Written:
    """Write `values`, sealed where there is a key; safe to repeat, and beside another writer."""
    script = client.register_script(_SET_UNLESS_NEWER)
    ceiling = _padded(int((now + _CLOCK_ERROR).timestamp() * 1_000_000))
    written = outdated = size = 0
    with store.translated(client):
        for chunk in _chunks(values):
            pipeline = client.pipeline(transaction=False)
            for value in chunk:
                stored = seal.sealed(value.key, value.encoded, signing_key)
                size += len(stored)
                script(
                    keys=[value.key],
                    args=[stored, _padded(value.version), lifetime_s(value.key), ceiling],
                    client=pipeline,
                )
            kept = sum(pipeline.execute())
            written += len(chunk)
            outdated += len(chunk) - kept
    return Written(written, outdated, size)


def _chunks(values: Iterable[Value]) -> Iterator[Sequence[Value]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk


def _padded(version: int) -> str:
    return f"{version:0{VERSION_DIGITS}d}"


def lifetime_s(key: str) -> int:
    """The lifetime and a jitter that is the key's own, so that keys do not expire together."""
    return int(LIFETIME.total_seconds()) + zlib.crc32(key.encode()) % _JITTER_S


__all__ = ["LIFETIME", "Value", "Written", "lifetime_s", "write"]
