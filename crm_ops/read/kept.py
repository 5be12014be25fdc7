"""The bitmaps that this process holds: whole sets at a version, the least used given up first.

A set and its bitmaps are never changed, only replaced by a newer one, so that a thread may count
with what it was given while another brings the newest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from pyroaring import BitMap

from crm_ops.fold import positions

MOST_BYTES = 256 * 1024 * 1024

# So long a label that was changed may be shown as it was.
_LABELS_S = 60.0

Place = tuple[str, str | None]
"""A facet and its bucket."""

Labels = dict[Place, str | None]
"""What a person reads for a bucket."""

Places = Mapping[str, Mapping[str | None, BitMap]]
"""Facet -> bucket -> rows; the facet '' has all rows in its bucket None."""

Change = tuple[str, str | None, int, Sequence[int], Sequence[int]]
"""Facet, bucket, how many rows are in it after, and the positions of those that went and came."""


@dataclass(frozen=True)
class Held:
    """The bitmaps of one tenant and entity; `bytes` is about what they take."""

    set_id: int
    version: int
    places: Places = field(repr=False)
    bytes: int

    @property
    def everything(self) -> BitMap:
        """All rows of the tenant."""
        return self.places.get("", {}).get(None, BitMap())


def whole(
    set_id: int,
    version: int,
    bitmaps: Iterable[tuple[str, str | None, int, str]],
    changes: Iterable[Change],
) -> Held | None:
    """A set at `version`: its bitmaps as they were written, and what happened since.

    A bitmap is (facet, bucket, how many rows are in it at `version`, hexadecimal digits). None
    where one has not as many rows.
    """
    places: dict[str, dict[str | None, BitMap]] = {}
    expected: dict[Place, int] = {}
    size = 0
    for facet, bucket, n, digits in bitmaps:
        bits = bytes.fromhex(digits)
        places.setdefault(facet, {})[bucket] = BitMap.deserialize(bits)
        expected[facet, bucket] = n
        size += len(bits)
    return _moved(Held(set_id, version, places, size), changes, expected)


def moved(held: Held, version: int, changes: Iterable[Change]) -> Held | None:
    """`held` after the changes, in their order, up to `version`.

    None where a bitmap then has not as many rows as it should: what was held is not right.
    """
    return _moved(replace(held, version=version), changes, {})


def _moved(held: Held, changes: Iterable[Change], expected: dict[Place, int]) -> Held | None:
    places: dict[str, Mapping[str | None, BitMap]] = dict(held.places)
    after: dict[str, dict[str | None, BitMap]] = {}
    size = held.bytes
    for facet, bucket, n, went, came in changes:
        if facet not in after:
            places[facet] = after[facet] = dict(places.get(facet, {}))
        before = after[facet].get(bucket, BitMap())
        after[facet][bucket] = positions.moved(before, [(went, came)])
        expected[facet, bucket] = n
        size += 2 * len(came)
    if any(len(places[facet][bucket]) != n for (facet, bucket), n in expected.items()):
        return None
    return replace(held, places=places, bytes=size)


class Kept:
    """Sets by (entity, tenant), up to some bytes; safe in threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self._labels: dict[tuple[str, str], tuple[float, Labels]] = {}
        self._bytes = 0
        self._lock = Lock()

    def get(self, entity: str, tenant: str) -> Held | None:
        """The newest that is held."""
        with self._lock:
            found = self._held.get((entity, tenant))
            if found is not None:
                self._held.move_to_end((entity, tenant))
            return found

    def labels(self, entity: str, tenant: str) -> Labels:
        """The labels read within the last minute; whoever reads more adds them."""
        now = time.monotonic()
        with self._lock:
            until, found = self._labels.get((entity, tenant), (0.0, {}))
            if until < now:
                found = {}
                self._labels[entity, tenant] = (now + _LABELS_S, found)
            return found

    def put(self, entity: str, tenant: str, held: Held) -> None:
        """Hold a set instead of an older one; never an older one instead of it."""
        with self._lock:
            known = self._held.get((entity, tenant))
            if known is held or (known is not None and known.version > held.version):
                return
            self._drop(entity, tenant)
            self._held[entity, tenant] = held
            self._bytes += held.bytes
            while self._bytes > self._most and len(self._held) > 1:
                self._drop(*next(iter(self._held)))

    def forget(self, entity: str, tenant: str) -> None:
        """Hold nothing of a tenant."""
        with self._lock:
            self._drop(entity, tenant)

    def _drop(self, entity: str, tenant: str) -> None:
        gone = self._held.pop((entity, tenant), None)
        self._bytes -= 0 if gone is None else gone.bytes


__all__ = ["MOST_BYTES", "Change", "Held", "Kept", "Labels", "Place", "Places", "moved", "whole"]
