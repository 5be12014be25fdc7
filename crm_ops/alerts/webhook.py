"""The webhook's request: a JSON body, and headers by which a receiver knows who sent it, and what.

The signature is the HMAC-SHA256 of the timestamp, a dot, and the body. A receiver refuses what is
signed otherwise or is older than minutes, and takes a message of one id once.
"""

from __future__ import annotations

import hmac
from datetime import datetime

import msgspec

from crm_ops.alerts.deliver import Message

ID = "Idempotency-Key"
TIMESTAMP = "X-CRM-Ops-Timestamp"
SIGNATURE = "X-CRM-Ops-Signature"


def body(message: Message) -> bytes:
    """The message as JSON; its keys are the message's fields, moments are ISO 8601."""
    return msgspec.json.encode(msgspec.to_builtins(message))


def headers(message: Message, content: bytes, key: bytes, now: datetime) -> dict[str, str]:
    """The headers that go with a body."""
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        ID: message.id,
        TIMESTAMP: timestamp,
        SIGNATURE: f"sha256={signature(key, timestamp, content)}",
    }


def signature(key: bytes, timestamp: str, content: bytes) -> str:
    """The signature as 64 hexadecimal characters."""
    return hmac.digest(key, timestamp.encode() + b"." + content, "sha256").hex()


__all__ = ["ID", "SIGNATURE", "TIMESTAMP", "body", "headers", "signature"]
