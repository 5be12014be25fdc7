"""A receiver that does what docs/alerts.md says knows our messages from all others."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crm_ops.alerts import webhook
from crm_ops.alerts.deliver import Message

KEY = b"the key of the webhook"
OPENED = datetime(2026, 6, 30, 12, tzinfo=UTC)
MESSAGE = Message(
    id="crm-ops.1.1.opened",
    thread="crm-ops.1.1.opened",
    phase="opened",
    incident="late:warm_caches",
    kind="late",
    subject="warm_caches",
    title="warm_caches is late",
    text="What to do: see",
    opened_at=OPENED,
    recovered_at=None,
)


@pytest.fixture(scope="module")
def genuine() -> Callable[[dict[str, str], bytes, bytes], bool]:
    """The function that the documentation shows."""
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shown: dict[str, Any] = {}
    exec(code, shown)
    return shown["genuine"]


def test_ours_is_genuine_and_nothing_else(
    genuine: Callable[[dict[str, str], bytes, bytes], bool],
) -> None:
    now = datetime.now(UTC)
    body = webhook.body(MESSAGE)
    headers = webhook.headers(MESSAGE, body, KEY, now)
    assert genuine(headers, body, KEY)
    assert not genuine(headers, body.replace(b"late", b"fine"), KEY)
    assert not genuine(headers, body, b"another key")
    old = webhook.headers(MESSAGE, body, KEY, now - timedelta(minutes=10))
    assert not genuine(old, body, KEY), "somebody sends it again"
    moved = {**old, webhook.TIMESTAMP: headers[webhook.TIMESTAMP]}
    assert not genuine(moved, body, KEY), "under another date"
