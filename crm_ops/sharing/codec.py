"""The Redis value of one tenant's sharing rules for one entity: signed, and believed only so.

64 hexadecimal characters of HMAC-SHA256 over the Redis key and the body, then the body: a JSON
array of the format, the entry's fields and its rules, which a person can read in redis-cli.
"""

from __future__ import annotations

import hmac
from datetime import datetime

import msgspec

from crm_ops.base import names
from crm_ops.sharing import signing
from crm_ops.sharing.rules import Rule

# Moved with every change of what a body holds or means: what an older release wrote is a miss.
_FORMAT = 1
_SIGNATURE = 64


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The rules of a tenant for an entity at an epoch; nothing committed by `as_of` is left out.

    No epoch is kept yet: it is 0.
    """

    tenant: str
    entity: str
    epoch: int
    as_of: datetime
    rules: tuple[Rule, ...]


class _Body(msgspec.Struct, frozen=True, array_like=True):
    format: int
    entry: Entry


_DECODER = msgspec.json.Decoder(_Body)


def encode(entry: Entry, signing_key: bytes) -> bytes:
    """The value to keep under `names.sharing_key(entry.entity, entry.tenant)`."""
    body = msgspec.json.encode(_Body(_FORMAT, entry))
    return _signature(entry.tenant, entry.entity, body, signing_key) + body


def decode(value: bytes | None, tenant: str, entity: str, signing_key: bytes) -> Entry | None:
    """The entry that `encode` wrote for this tenant and entity; anything else is None, a miss."""
    if value is None:
        return None
    given, body = value[:_SIGNATURE], value[_SIGNATURE:]
    if not hmac.compare_digest(given, _signature(tenant, entity, body, signing_key)):
        return None
    try:
        read = _DECODER.decode(body)
    except (ValueError, RecursionError):  # An older or newer release signed it.
        return None
    return read.entry if read.format == _FORMAT else None


def _signature(tenant: str, entity: str, body: bytes, signing_key: bytes) -> bytes:
    return signing.signature(signing_key, names.sharing_key(entity, tenant), body)


__all__ = ["Entry", "decode", "encode"]
