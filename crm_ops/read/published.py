"""Reads what was published to Redis: a whole, consistent value of this tenant, or nothing.

Redis that is away, slow or full of something else is never an error: it costs a moment once, then
it is left alone for a while.
"""

from __future__ import annotations

import logging
import time
from typing import cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crm_ops.base import names, store
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import Facet, LinkFacet, RangesFacet
from crm_ops.publish import codec, seal
from crm_ops.read.layout import Layout

_log = logging.getLogger(__name__)

# A trip to PostgreSQL is a few milliseconds: waiting longer for Redis would not pay.
_PATIENCE_S = 0.05
_LEFT_ALONE_S = 5.0


def client(url: str) -> store.Client:
    """A client for requests: it waits 50 ms at most, and does not try again."""
    made = store.client(url, timeout_s=_PATIENCE_S)
    made.set_retry(Retry(NoBackoff(), 0))
    return made


class Published:
    """Redis, and until when it is left alone; safe in threads."""

    def __init__(self, made: store.Client | None, signing_key: bytes | None = None) -> None:
        self._client = made
        self._signing_key = signing_key
        self._alone_until = 0.0

    def facet_counts(self, layout: Layout, tenant: str) -> codec.FacetCounts | None:
        """The counts of one tenant, in one round trip; None for a miss.

        What was made under another catalog, or not sealed with our key, is a miss, too.
        """
        if self._client is None or time.monotonic() < self._alone_until:
            return None
        name = layout.counted.name
        try:
            keys = [names.facets_key(name, tenant), names.moment_key("facets", name)]
            held, at = cast("list[bytes | None]", self._client.mget(keys))
        except (redis.RedisError, OSError) as error:
            self._leave_alone(self._client, error)
            return None
        counts, since = (
            seal.opened(key, value, self._signing_key)
            for key, value in zip(keys, (held, at), strict=True)
        )
        found = codec.facet_counts(counts, name, tenant)
        if found is None or found.definition != layout.made_with["facets"]:
            return None
        if not consistent(found, layout.entity):
            return None
        moment = codec.moment(since, "facets", name)
        if moment is None or moment.as_of <= found.as_of:
            return found
        # Nothing has changed since the value was made: it is exact as of the later moment.
        return msgspec.structs.replace(found, as_of=moment.as_of)

    def _leave_alone(self, made: store.Client, error: Exception) -> None:
        self._alone_until = time.monotonic() + _LEFT_ALONE_S
        _log.warning(
            "Redis at %s cannot be used: %s; PostgreSQL answers alone",
            store.address(made),
            type(error).__name__,
            extra={"action": "read_redis_left_alone"},
        )


def consistent(counts: codec.FacetCounts, entity: Entity) -> bool:
    """Whether counts are of the facets declared now, and each facet's add up to the total."""
    return set(counts.facets) == set(entity.facets) and all(
        _adds_up(entity.facets[name], facet, counts.total) for name, facet in counts.facets.items()
    )


def _adds_up(declared: Facet, facet: codec.Facet, total: int) -> bool:
    numbers = [bucket.n for bucket in facet.buckets]
    if facet.other < 0 or any(number <= 0 for number in numbers):
        return False
    if isinstance(declared, LinkFacet):
        return all(number <= total for number in numbers)
    if isinstance(declared, RangesFacet):
        known = {None, *declared.labels()}
        if any(bucket.value not in known for bucket in facet.buckets):
            return False
    return sum(numbers) + facet.other == total


__all__ = ["Published", "client", "consistent"]
