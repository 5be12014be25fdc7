"""What the processes of a CRM share of the sharing configuration through Redis: never an authority.

A value counts only if it is signed and of exactly the version that PostgreSQL names at that moment.
Redis that is away, slow or wrong costs a moment once; then it is left alone for a while.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crm_ops.base import names, store
from crm_ops.sharing import codec, signing
from crm_ops.sharing.people import People
from crm_ops.sharing.rules import Rule

_log = logging.getLogger(__name__)

# A trip to PostgreSQL is a few milliseconds: waiting longer for Redis would not pay.
_PATIENCE_S = 0.05
_LEFT_ALONE_S = 5.0

# Longer than a day, so that one night's values last until the next night's; spread over an hour, so
# that they do not all expire at once.
_EXPIRY_S = 26 * 3600
_JITTER_S = 3600


def client(url: str) -> store.Client:
    """A client for `Shared`: it does not wait, and does not try again."""
    made = store.client(url, timeout_s=_PATIENCE_S)
    made.set_retry(Retry(NoBackoff(), 0))
    return made


def expiry_s(key: str) -> int:
    """How long the value of a key lives; the same key always has the same jitter."""
    return _EXPIRY_S + zlib.crc32(key.encode()) % _JITTER_S


class Shared:
    """Redis, the key that signs, and until when Redis is left alone."""

    def __init__(self, made: store.Client, signing_key: bytes | None) -> None:
        self._client = made
        self._key = signing.required(signing_key)
        self._alone_until = 0.0

    def get(self, tenant: str, entity: str, version: int) -> tuple[People, tuple[Rule, ...]] | None:
        """The people of a tenant and its rules for an entity, if both are there at `version`."""
        if time.monotonic() < self._alone_until:
            return None
        keys = [names.organisation_key(tenant), names.sharing_key(entity, tenant)]
        try:
            people, rules = cast("list[bytes | None]", self._client.mget(keys))
        except (redis.RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        found = codec.decode_people(people, tenant, self._key)
        entry = codec.decode(rules, tenant, entity, self._key)
        if found is None or entry is None or not found.epoch == entry.epoch == version:
            return None
        return found.people, entry.rules

    def put(
        self, tenant: str, entity: str, version: int, people: People, rules: tuple[Rule, ...]
    ) -> None:
        """Keep what was read at `version`, in place of what was there."""
        if time.monotonic() < self._alone_until:
            return
        now = datetime.now(UTC)
        entries = (
            codec.PeopleEntry(tenant, version, now, people),
            codec.Entry(tenant, entity, version, now, rules),
        )
        try:
            write(self._client, {codec.name(e): codec.encode(e, self._key) for e in entries})
        except (redis.RedisError, OSError) as error:
            self._leave_alone(error)

    def _leave_alone(self, error: Exception) -> None:
        self._alone_until = time.monotonic() + _LEFT_ALONE_S
        _log.warning(
            "Redis at %s cannot be used: %s; PostgreSQL answers alone",
            store.address(self._client),
            type(error).__name__,
            extra={"action": "sharing_redis_left_alone"},
        )


def write(made: store.Client, values: Mapping[str, bytes]) -> None:
    """Write values in one trip, each to its own expiry."""
    with made.pipeline(transaction=False) as pipeline:
        for key, value in values.items():
            # `set` looks at a dozen options, and the driver at all that is not bytes, for each of
            # thousands of values.
            pipeline.execute_command(  # type: ignore[no-untyped-call]
                "SET", key.encode(), value, b"EX", b"%d" % expiry_s(key)
            )
        pipeline.execute()


__all__ = ["Shared", "client", "expiry_s", "write"]
