"""The bitmaps of a tenant in Redis: one hash, a field for each bucket and one that heads them all.

The head names format, owner, set and version; a bucket's field is 20 digits of the version that it
last changed at, a space, eight bytes of its digest, and the bitmap. What another release wrote,
what lies under a wrong key, and what was not made with the set's secret is a miss; whether all of
it is there and the newest, a reader learns from PostgreSQL, by the sum of the digests.
"""

from __future__ import annotations

import msgspec

from crm_ops.fold import positions

FORMAT = 1
HEAD = b"head"
VERSION_DIGITS = 20
_DIGEST_BYTES = 8

# The head, and the fields that changed after the mark; of another set the head alone.
NEWER = f"""
local head = redis.call('HGET', KEYS[1], 'head')
if not head then return {{}} end
local found = {{head}}
local digits = {VERSION_DIGITS}
if string.sub(head, 1, digits) ~= string.sub(ARGV[1], 1, digits) then return found end
local since = string.sub(ARGV[1], digits + 2, 2 * digits + 1)
if string.sub(head, digits + 2, 2 * digits + 1) <= since then return found end
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if all[at] ~= 'head' and string.sub(all[at + 1], 1, digits) > since then
    found[#found + 1] = all[at]
    found[#found + 1] = all[at + 1]
  end
end
return found
"""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Whose bitmaps these are, and of which version."""

    format: int = FORMAT
    entity: str
    tenant: str
    definition: str
    set_id: int
    version: int


_heads = msgspec.json.Decoder(Head)
_places = msgspec.json.Decoder(tuple[str, str | None])


def head(value: Head) -> bytes:
    """A head as it is stored: Redis itself compares the mark that it begins with."""
    return mark(value.set_id, value.version) + msgspec.json.encode(value)


def mark(set_id: int, version: int) -> bytes:
    """What a head of this set and version begins with."""
    return b"%020d %020d " % (set_id, version)


def field(facet: str, bucket: str | None) -> bytes:
    """The name of a bucket's field."""
    return msgspec.json.encode((facet, bucket))


def value(version: int, digest: int, bits: bytes) -> bytes:
    """A bucket's field as it is stored."""
    return b"%020d " % version + _bytes(digest) + bits


def read_head(stored: bytes | None, entity: str, tenant: str) -> Head | None:
    """Decode; None for a miss: nothing there, damaged, another format, somebody else's."""
    try:
        found = None if stored is None else _heads.decode(stored[2 * VERSION_DIGITS + 2 :])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    told = None if found is None else (found.format, found.entity, found.tenant)
    return found if told == (FORMAT, entity, tenant) else None


def read_field(secret: bytes, name: bytes, stored: bytes) -> tuple[str, str | None, bytes] | None:
    """(facet, bucket, bitmap) of a field; None for what was not made with the secret."""
    try:
        facet, bucket = _places.decode(name)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    begins = VERSION_DIGITS + 1
    digest, bits = stored[begins : begins + _DIGEST_BYTES], stored[begins + _DIGEST_BYTES :]
    right = positions.digest(secret, facet, bucket, bits)
    return (facet, bucket, bits) if digest == _bytes(right) else None


def _bytes(digest: int) -> bytes:
    return digest.to_bytes(_DIGEST_BYTES, "big", signed=True)


__all__ = [
    "FORMAT",
    "HEAD",
    "NEWER",
    "VERSION_DIGITS",
    "Head",
    "field",
    "head",
    "mark",
    "read_field",
    "read_head",
    "value",
]
