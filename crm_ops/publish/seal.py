"""A seal on a value in Redis: who may write to Redis can take a number away, but not change it.

It binds the value to its key, so that one tenant's cannot be put in another's place. Without a
signing key there is no seal, and a reader without one takes every value for ours.
"""

from __future__ import annotations

import hmac

# No JSON that we write holds the end of a line.
_SEPARATOR = b"\n"


def sealed(name: str, encoded: bytes, signing_key: bytes | None) -> bytes:
    """The value as it is stored under the key `name`: with its seal as a second line."""
    if signing_key is None:
        return encoded
    return encoded + _SEPARATOR + _seal(name, encoded, signing_key)


def opened(name: str, stored: bytes | None, signing_key: bytes | None) -> bytes | None:
    """The value without its seal; None where a signing key is given and the seal is not its own."""
    if stored is None:
        return None
    encoded, _, found = stored.partition(_SEPARATOR)
    if signing_key is None or hmac.compare_digest(found, _seal(name, encoded, signing_key)):
        return encoded
    return None


def _seal(name: str, encoded: bytes, signing_key: bytes) -> bytes:
    # A NUL ends the name: PostgreSQL holds none in a text, so no name can reach into a value.
    return hmac.digest(signing_key, name.encode() + b"\0" + encoded, "sha256").hex().encode()


__all__ = ["opened", "sealed"]
