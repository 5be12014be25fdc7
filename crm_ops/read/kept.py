"""The bitmaps that this process holds: whole sets at a version, the least used given up first.

A set and its bitmaps are never changed, only replaced by a newer one, so that a thread may count
with what it was given while another brings the newest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

from pyroaring import BitMap

from crm_ops.fold import positions

MOST_BYTES = 256 * 1024 * 1024

# So long a label that was changed may be shown as it was.
_LABELS_S = 60.0

Labels = dict[tuple[str, str | None], str | None]
"""What a person reads for a bucket, by (facet, bucket)."""

Places = Mapping[str, Mapping[str | None, BitMap]]
"""Facet -> bucket -> rows; the facet '' has all rows in its bucket None."""


@dataclass(frozen=True)
class Held:
    """The bitmaps of one tenant and entity; `sizes` are their bytes, `digests` tell what they are.

    Both by (facet, bucket).
    """

    set_id: int
    version: int
    secret: bytes = field(repr=False)
    places: Places = field(repr=False)
    sizes: Mapping[tuple[str, str | None], int]
    digests: Mapping[tuple[str, str | None], int]

    @cached_property
    def digest(self) -> int:
        """What tells this set from any other, as the fold made it."""
        return sum(self.digests.values())

    @property
    def everything(self) -> BitMap:
        """All rows of the tenant."""
        return self.places.get("", {}).get(None, BitMap())

    @cached_property
    def bytes(self) -> int:
        """What they take, as they are stored."""
        return sum(self.sizes.values())


def moved(
    held: Held | None,
    set_id: int,
    version: int,
    secret: bytes,
    changed: Iterable[tuple[str, str | None, bytes]],
) -> Held:
    """`held` with the bitmaps that changed until `version`; of another set nothing is kept."""
    known = held if held is not None and held.set_id == set_id else None
    places = {} if known is None else {name: dict(each) for name, each in known.places.items()}
    sizes = {} if known is None else dict(known.sizes)
    digests = {} if known is None else dict(known.digests)
    for facet, bucket, bits in changed:
        places.setdefault(facet, {})[bucket] = BitMap.deserialize(bits)
        sizes[facet, bucket] = len(bits)
        digests[facet, bucket] = positions.digest(secret, facet, bucket, bits)
    return Held(set_id, version, secret, places, sizes, digests)


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


__all__ = ["MOST_BYTES", "Held", "Kept", "Labels", "Places", "moved"]
