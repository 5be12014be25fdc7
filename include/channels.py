"""Sends an alert by one of the catalog's channels, with the connection that Airflow has for it.

What a channel needs is imported when there is something to send: most runs have nothing to tell.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from crm_ops.alerts import webhook
from crm_ops.alerts.deliver import Message
from crm_ops.base import errors
from crm_ops.catalog.alerts import Channel

_TIMEOUT_S = 10


def send(channel: Channel, recipient: str, message: Message) -> None:
    """Send one message; raise NotDelivered, with no secret in its text, where that fails."""
    try:
        connection: Connection = Connection.get(channel.connection)
    except AirflowNotFoundException as error:
        raise errors.NotDelivered(
            f"Airflow has no connection {channel.connection}, or cannot read it; add it under"
            " Admin > Connections"
        ) from error
    try:
        _SENDERS[channel.kind](connection, recipient, message)
    except errors.NotDelivered:
        raise
    except ImportError as error:
        raise errors.NotDelivered(
            f"the package for {channel.kind} is not installed; install crm-ops[alerts]"
        ) from error
    except Exception as error:  # noqa: BLE001
        # Each provider has errors of its own, and none of them may fail a job. The cause is not
        # kept: its text may hold the address, which for Slack is the secret.
        raise errors.NotDelivered(_without_secrets(error, connection)) from None


def _email(connection: Connection, address: str, message: Message) -> None:
    from include.mail import Mail  # noqa: PLC0415

    subject = f"[CRM Ops] {message.title}"
    lines = html.escape(message.text).replace("\n", "<br>\n")
    identity = {"Message-ID": f"<{message.id}@crm-ops>"}
    if message.id != message.thread:
        identity["In-Reply-To"] = identity["References"] = f"<{message.thread}@crm-ops>"
    with Mail(connection.conn_id) as mail:
        mail.send_email_smtp(
            to=[address],
            subject=subject,
            html_content=f"<p><b>{html.escape(message.title)}</b></p>\n<p>{lines}</p>\n",
            custom_headers=identity,
        )


def _webhook(connection: Connection, _recipient: str, message: Message) -> None:
    import httpx  # noqa: PLC0415

    if not (connection.host and "://" in connection.host):
        raise errors.NotDelivered(
            f"the connection {connection.conn_id} has no URL as its host, such as"
            " https://example.com/alerts"
        )
    if not connection.password:
        raise errors.NotDelivered(
            f"the connection {connection.conn_id} has no password; it is the key that signs"
        )
    content = webhook.body(message)
    key = connection.password.encode()
    answer = httpx.post(
        connection.host,
        content=content,
        headers=webhook.headers(message, content, key, datetime.now(UTC)),
        timeout=_TIMEOUT_S,
    )
    if not answer.is_success:
        raise errors.NotDelivered(f"the receiver answered {answer.status_code}")


def _slack(connection: Connection, _recipient: str, message: Message) -> None:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook  # noqa: PLC0415

    hook = SlackWebhookHook(slack_webhook_conn_id=connection.conn_id, timeout=_TIMEOUT_S)
    hook.send_text(f"*{message.title}*\n{message.text}")


def _apprise(connection: Connection, _recipient: str, message: Message) -> None:
    from airflow.providers.apprise.hooks import apprise as provider  # noqa: PLC0415

    services = provider.apprise.Apprise()  # type: ignore[attr-defined]
    # Airflow's hook would send as well, but does not say whether that failed.
    provider.AppriseHook(connection.conn_id).set_config_from_conn(connection, services)
    if not services.notify(title=message.title, body=message.text, tag="all"):
        raise errors.NotDelivered("Apprise could not reach every service of the connection")


_SENDERS: dict[str, Callable[[Connection, str, Message], None]] = {
    "email": _email,
    "webhook": _webhook,
    "slack": _slack,
    "apprise": _apprise,
}


def _without_secrets(error: Exception, connection: Connection) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for secret in sorted(_secrets(connection), key=len, reverse=True):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text[:300]


def _secrets(connection: Connection) -> Iterator[str]:
    """The password, an address that may hold one, and every text of the extras."""
    if connection.password:
        yield connection.password
    if connection.host and "://" in connection.host:
        yield connection.host
    yield from _texts(json.loads(connection.extra) if connection.extra else {})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    # A short one is no secret, and would make any text unreadable.
    elif isinstance(value, str) and len(value) >= 8:
        yield value


__all__ = ["send"]
