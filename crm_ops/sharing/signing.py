"""The key that signs what we put into Redis: without it nothing is written or believed."""

from __future__ import annotations

import hashlib
import hmac

from crm_ops.base import errors, settings

# As long as the signature: a shorter key would be easier to guess than the signature.
_BYTES = hashlib.sha256().digest_size


def required(key: bytes | None) -> bytes:
    """`key` itself, or SettingsError with the remedy where it is missing or too short."""
    if key is None or len(key) < _BYTES:
        wrong = "is not set" if key is None else f"is shorter than {_BYTES} characters"
        raise errors.SettingsError(
            f"the signing key {wrong}, so no permission kept in Redis could be trusted; set"
            f" {settings.SIGNING_KEY} (in Airflow also the variable crm_ops_signing_secret) to a"
            " secret that the CRM shares, such as the output of `openssl rand -hex 32`"
        )
    return key


def signature(key: bytes, name: str, body: bytes) -> bytes:
    """The HMAC-SHA256 of a Redis key and the body stored there, as 64 hexadecimal characters."""
    # A NUL ends the name: PostgreSQL holds none in a text, so no name can reach into a body.
    return hmac.digest(key, name.encode() + b"\0" + body, "sha256").hex().encode()


__all__ = ["required", "signature"]
