"""Reads what was published to Redis: a whole, consistent value of this tenant, or nothing.

Redis that is away, slow or full of something else is never an error: it costs a moment once, then
it is left alone for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crm_ops.base import names, store
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import Facet, LinkFacet, RangesFacet
from crm_ops.publish import codec, seal
from crm_ops.read import shown
from crm_ops.read.layout import Layout
from crm_ops.read.shown import Columns
from crm_ops.sharing.kept import Kept

_log = logging.getLogger(__name__)

# A trip to PostgreSQL is a few milliseconds: waiting longer for Redis would not pay.
_PATIENCE_S = 0.05
_LEFT_ALONE_S = 5.0
# So many values are not decoded again while they are the same; one takes up to some hundred
# kilobytes.
_READ = 100


def client(url: str) -> store.Client:
    """A client for requests: it waits 50 ms at most, and does not try again."""
    made = store.client(url, timeout_s=_PATIENCE_S)
    made.set_retry(Retry(NoBackoff(), 0))
    return made


@dataclass(frozen=True)
class Precomputed:
    """The counts of one tenant that were made beforehand, as a caller sees them."""

    version: int
    facets: Mapping[str, Columns]
    total: int
    as_of: datetime


def precomputed(layout: Layout, counts: codec.FacetCounts) -> Precomputed | None:
    """Counts as a caller sees them; None where they are not whole, or contradict each other."""
    if not _consistent(counts, layout.entity):
        return None
    return Precomputed(counts.version, shown.published(layout, counts), counts.total, counts.as_of)


class Published:
    """Redis, and until when it is left alone; safe in threads."""

    def __init__(self, made: store.Client | None, signing_key: bytes | None = None) -> None:
        self._client = made
        self._signing_key = signing_key
        self._alone_until = 0.0
        self._read: Kept[str, tuple[bytes, Precomputed]] = Kept(_READ)

    def facet_counts(self, layout: Layout, tenant: str) -> Precomputed | None:
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
        found = None if held is None else self._found(layout, tenant, keys[0], held)
        moment = codec.moment(seal.opened(keys[1], at, self._signing_key), "facets", name)
        if found is None or moment is None or moment.as_of <= found.as_of:
            return found
        # Nothing has changed since the value was made: it is exact as of the later moment.
        return replace(found, as_of=moment.as_of)

    def _found(self, layout: Layout, tenant: str, key: str, held: bytes) -> Precomputed | None:
        """What the value `held` under `key` says; None where it is not of this tenant as it is."""
        before = self._read.get(key)
        if before is not None and before[0] == held:
            return before[1]
        opened = seal.opened(key, held, self._signing_key)
        counts = codec.facet_counts(opened, layout.counted.name, tenant)
        if counts is None or counts.definition != layout.made_with["facets"]:
            return None
        found = precomputed(layout, counts)
        if found is not None:
            self._read.put(key, (held, found))
        return found

    def _leave_alone(self, made: store.Client, error: Exception) -> None:
        self._alone_until = time.monotonic() + _LEFT_ALONE_S
        _log.warning(
            "Redis at %s cannot be used: %s; PostgreSQL answers alone",
            store.address(made),
            type(error).__name__,
            extra={"action": "read_redis_left_alone"},
        )


def _consistent(counts: codec.FacetCounts, entity: Entity) -> bool:
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


__all__ = ["Precomputed", "Published", "client", "precomputed"]
