"""Who is told when something is wrong, and how old figures may be before it is."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, WithJsonSchema, model_validator

from crm_ops.catalog.parts import Part

_CONNECTION = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


def _connection(text: str) -> str:
    if not _CONNECTION.fullmatch(text):
        raise ValueError(
            f"{text!r} is no name of a connection; write letters, digits, dots, dashes and"
            " underscores, as under Admin > Connections"
        )
    return text


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is no e-mail address; write one such as crm@example.com")
    return text


Connection = Annotated[
    str,
    AfterValidator(_connection),
    WithJsonSchema({"type": "string", "pattern": f"^{_CONNECTION.pattern}$"}),
]
"""The name of a connection in Airflow, which holds the address and the secret."""

Address = Annotated[
    str,
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "pattern": f"^{_ADDRESS.pattern}$"}),
]
"""One e-mail address."""


class EmailChannel(Part):
    """E-mail, one to each address."""

    kind: Literal["email"]
    connection: Connection = Field(
        default="smtp_default", description="The SMTP connection; its extra from_email is needed."
    )
    to: list[Address] = Field(min_length=1, description="The addresses.")

    @property
    def recipients(self) -> tuple[str, ...]:
        """Whom a message is sent to, each by itself."""
        return tuple(self.to)


class _Hooked(Part):
    """A channel whose connection is its one recipient."""

    connection: Connection

    @property
    def recipients(self) -> tuple[str, ...]:
        """Whom a message is sent to: whoever the connection leads to."""
        return (self.connection,)


class WebhookChannel(_Hooked):
    """An HTTP POST of JSON, signed."""

    kind: Literal["webhook"]
    connection: Connection = Field(
        default="crm_ops_webhook",
        description="The connection: its host is the URL, its password the signing key.",
    )


class SlackChannel(_Hooked):
    """A message to a Slack channel by an incoming webhook."""

    kind: Literal["slack"]
    connection: Connection = Field(
        default="slack_default", description="The Slack Incoming Webhook connection."
    )


class AppriseChannel(_Hooked):
    """A message to whatever Apprise can reach."""

    kind: Literal["apprise"]
    connection: Connection = Field(
        default="apprise_default", description="The Apprise connection with the services' URLs."
    )


Channel = Annotated[
    EmailChannel | WebhookChannel | SlackChannel | AppriseChannel, Discriminator("kind")
]


def name(channel: Channel) -> str:
    """How the ledger names a channel."""
    return f"{channel.kind}:{channel.connection}"


class Alerts(Part):
    """When something counts as wrong, and who is told. Without a channel it is only recorded."""

    fresh_within_minutes: int = Field(
        default=60,
        ge=1,
        le=525_600,
        description="Figures may lag so far behind the rows; an entity may say otherwise.",
    )
    channels: list[Channel] = Field(
        default_factory=list, max_length=20, description="Who is told, and by which connection."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Alerts:
        seen: set[tuple[str, str]] = set()
        for channel in self.channels:
            for recipient in channel.recipients:
                if (name(channel), recipient) in seen:
                    raise ValueError(f"{recipient} is told twice by {name(channel)}; name it once")
                seen.add((name(channel), recipient))
        return self


class Metrics(Part):
    """What is emitted by Airflow's own stats beside the figures of jobs and entities."""

    tenants: bool = Field(
        default=False, description="Also the rows and the freshness of each tenant, by name."
    )


__all__ = [
    "Alerts",
    "AppriseChannel",
    "Channel",
    "EmailChannel",
    "Metrics",
    "SlackChannel",
    "WebhookChannel",
    "name",
]
