"""The Redis values of a tenant's sharing configuration: signed, and believed only so.

64 hexadecimal characters of HMAC-SHA256 over the Redis key and the body, then the body: a JSON
array of the format and the entry's fields, which a person can read in redis-cli.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import TypeVar

import msgspec

from crm_ops.base import names
from crm_ops.sharing import signing
from crm_ops.sharing.people import People
from crm_ops.sharing.rules import Rule

# Moved with every change of what a body holds or means: what an older release wrote is a miss.
_FORMAT = 3
_SIGNATURE = 64


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The rules of a tenant for an entity at an epoch; `as_of` is when they were read."""

    tenant: str
    entity: str
    epoch: int
    as_of: datetime
    rules: tuple[Rule, ...]


class PeopleEntry(msgspec.Struct, frozen=True, array_like=True):
    """The users, roles and default of a tenant at an epoch; `as_of` is when they were read."""

    tenant: str
    epoch: int
    as_of: datetime
    people: People


_Kind = TypeVar("_Kind", Entry, PeopleEntry)
_RULES = msgspec.json.Decoder(tuple[int, Entry])
_PEOPLE = msgspec.json.Decoder(tuple[int, PeopleEntry])


def name(entry: Entry | PeopleEntry) -> str:
    """The Redis key that an entry is kept under."""
    if isinstance(entry, Entry):
        return names.sharing_key(entry.entity, entry.tenant)
    return names.organisation_key(entry.tenant)


def encode(entry: Entry | PeopleEntry, signing_key: bytes) -> bytes:
    """The value to keep under `name(entry)`."""
    body = msgspec.json.encode((_FORMAT, entry))
    return signing.signature(signing_key, name(entry), body) + body


def decode(value: bytes | None, tenant: str, entity: str, signing_key: bytes) -> Entry | None:
    """The entry that `encode` wrote for this tenant and entity; anything else is None, a miss."""
    return _decode(value, names.sharing_key(entity, tenant), _RULES, signing_key)


def decode_people(value: bytes | None, tenant: str, signing_key: bytes) -> PeopleEntry | None:
    """The entry of people that `encode` wrote for this tenant; anything else is None, a miss."""
    return _decode(value, names.organisation_key(tenant), _PEOPLE, signing_key)


def _decode(
    value: bytes | None,
    key: str,
    decoder: msgspec.json.Decoder[tuple[int, _Kind]],
    signing_key: bytes,
) -> _Kind | None:
    if value is None:
        return None
    given, body = value[:_SIGNATURE], value[_SIGNATURE:]
    if not hmac.compare_digest(given, signing.signature(signing_key, key, body)):
        return None
    try:
        wrote, entry = decoder.decode(body)
    except (ValueError, RecursionError):  # An older or newer release signed it.
        return None
    return entry if wrote == _FORMAT else None


__all__ = ["Entry", "PeopleEntry", "decode", "decode_people", "encode", "name"]
