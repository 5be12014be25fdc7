"""The cursor of a next page: where the last one ended, good for the same search alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from crm_ops.base import errors

_DIGEST_BYTES = 16
_LONGEST = 4096


@dataclass(frozen=True)
class Position:
    """The last row of a page: the value that rows are sorted by (None: it has none) and its key."""

    value: str | None
    key: str


_positions = msgspec.json.Decoder(tuple[str | None, str])


def encode(position: Position, search: bytes, signing_key: bytes | None) -> str:
    """A cursor; `search` says in full what is searched for, the signing key makes it ours."""
    body = msgspec.json.encode((position.value, position.key))
    return base64.urlsafe_b64encode(_digest(body, search, signing_key) + body).decode().rstrip("=")


def decode(cursor: str, search: bytes, signing_key: bytes | None) -> Position:
    """Where the last page ended; raises `ParameterError` unless the cursor is of this search."""
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        held = base64.b64decode(padded, altchars=b"-_", validate=True)
        digest, body = held[:_DIGEST_BYTES], held[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, _digest(body, search, signing_key)):
            raise ValueError
        return Position(*_positions.decode(body))
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise errors.ParameterError(
            "the cursor is damaged or of another search (tenant, filters, text, order and user must"
            " be the same); begin without one"
        ) from error


def _digest(body: bytes, search: bytes, signing_key: bytes | None) -> bytes:
    # Without a signing key it is a checksum: it keeps mistakes out. What a cursor says is only ever
    # a place in the order of the tenant's own rows.
    key = hashlib.sha256(signing_key or b"").digest()
    text = b"%d:%b%b" % (len(search), search, body)
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=key).digest()


__all__ = ["Position", "decode", "encode"]
