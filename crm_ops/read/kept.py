"""The bitmaps that this process holds: whole sets at a version, the least used given up first.

A set and its bitmaps are never changed, only replaced by a newer one, so that a thread may count
with what it was given while another brings the newest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from pyroaring import BitMap

from crm_ops.fold import positions
from crm_ops.fold.positions import Change
from crm_ops.read import codes
from crm_ops.read.codes import Codes
from crm_ops.read.remembered import Labels, Remembered

MOST_BYTES = 256 * 1024 * 1024

# So long a label that was changed may be shown as it was.
_LABELS_S = 60.0

Places = Mapping[str, Mapping[str | None, BitMap]]
"""Facet -> bucket -> rows; the facet '' has all rows in its bucket None."""

Counts = Mapping[str, Mapping[str | None, int]]
"""Facet -> bucket -> how many rows it has."""


@dataclass(frozen=True)
class Held:
    """The bitmaps of one tenant and entity, how many rows each has, and codes where they pay.

    `bytes` is about what the bitmaps take; what was counted with them is `remembered`.
    """

    set_id: int
    version: int
    places: Places = field(repr=False)
    counts: Counts = field(repr=False)
    bytes: int
    codes: Mapping[str, Codes] = field(repr=False)
    remembered: Remembered = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A hundred answers or more, where a tenant has a million rows.
        object.__setattr__(self, "remembered", Remembered(self.bytes))

    @property
    def everything(self) -> BitMap:
        """All rows of the tenant."""
        return self.places.get("", {}).get(None, BitMap())

    @property
    def all_bytes(self) -> int:
        """About what all of it takes, at most."""
        coded = sum(each.bytes for each in self.codes.values())
        return self.bytes + coded + self.remembered.most_bytes


def whole(
    set_id: int,
    version: int,
    bitmaps: Iterable[tuple[str, str | None, str]],
    changes: Sequence[Change],
    counted: Iterable[tuple[str, str | None, int]],
    single: Collection[str],
) -> Held | None:
    """A set at `version`: its bitmaps as they were written, and what happened since.

    A bitmap is (facet, bucket, hexadecimal digits). None where they then have not as many rows as
    are `counted`: (facet, bucket, how many rows). Of a `single` facet each row has one bucket.
    """
    places: dict[str, dict[str | None, BitMap]] = {}
    size = 0
    for facet, bucket, digits in bitmaps:
        bits = bytes.fromhex(digits)
        places.setdefault(facet, {})[bucket] = BitMap.deserialize(bits)
        size += len(bits)
    made = {name: codes.make(places.get(name, {})) for name in single}
    coded = {name: each for name, each in made.items() if each is not None}
    sizes = {facet: {at: len(rows) for at, rows in each.items()} for facet, each in places.items()}
    found = moved(Held(set_id, version, places, sizes, size, coded), version, changes)
    if found is None or _numbers(found) != {(facet, at): n for facet, at, n in counted}:
        return None
    return found


def moved(held: Held, version: int, changes: Sequence[Change]) -> Held | None:
    """`held` after the changes, in their order, up to `version`.

    None where a row goes that was not in its bucket, or one comes that was: what was held is not
    right.
    """
    places, counts = dict(held.places), dict(held.counts)
    size = held.bytes
    for change in changes:
        facet = change[0]
        after, sizes = dict(places.get(facet, {})), dict(counts.get(facet, {}))
        for bucket, went, came in positions.moves(change):
            after[bucket] = positions.moved(after.get(bucket, BitMap()), went, came)
            sizes[bucket] = sizes.get(bucket, 0) - len(went) + len(came)
            size += 2 * len(came)
            if len(after[bucket]) != sizes[bucket]:
                return None
        places[facet], counts[facet] = after, sizes
    return Held(held.set_id, version, places, counts, size, _coded(held.codes, changes))


def _numbers(held: Held) -> dict[tuple[str, str | None], int]:
    """How many rows are in each bucket that has some."""
    return {
        (facet, bucket): n for facet, each in held.counts.items() for bucket, n in each.items() if n
    }


def _coded(held: Mapping[str, Codes], changes: Sequence[Change]) -> Mapping[str, Codes]:
    """The codes after the changes."""
    came: dict[str, list[tuple[str | None, Sequence[int]]]] = {}
    for change in changes:
        if change[0] in held:
            moves = positions.moves(change)
            came.setdefault(change[0], []).extend((at, rows) for at, _, rows in moves if rows)
    after = {name: codes.moved(held[name], rows) for name, rows in came.items()}
    return {name: each for name in held if (each := after.get(name, held[name])) is not None}


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
            self._bytes += held.all_bytes
            while self._bytes > self._most and len(self._held) > 1:
                self._drop(*next(iter(self._held)))

    def forget(self, entity: str, tenant: str) -> None:
        """Hold nothing of a tenant."""
        with self._lock:
            self._drop(entity, tenant)

    def _drop(self, entity: str, tenant: str) -> None:
        gone = self._held.pop((entity, tenant), None)
        self._bytes -= 0 if gone is None else gone.all_bytes


__all__ = ["MOST_BYTES", "Counts", "Held", "Kept", "Places", "moved", "whole"]
