"""Each channel hands a message to a real server; what goes wrong is told without a secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from crm_ops.alerts.deliver import Message
from crm_ops.base import errors
from crm_ops.catalog.alerts import Alerts, Channel
from crm_ops.local import ports
from include import channels
from tests import sinks

Connect = Callable[[str, dict[str, object]], None]
KEY = "a-key-of-the-webhook"
OPENED = Message(
    id="crm-ops.7.1700000000.opened",
    thread="crm-ops.7.1700000000.opened",
    phase="opened",
    incident="tenants:precompute_facets",
    kind="tenants",
    subject="precompute_facets",
    title="precompute_facets: 1 tenant failed",
    text="Tenants: Müller <&> Söhne (it broke)\nWhat to do: see",
    opened_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    recovered_at=None,
)


@pytest.fixture
def mail(connect: Connect) -> Iterator[sinks.Mail]:
    with sinks.mail() as sink:
        connect("smtp_default", sink.connection)
        yield sink


@pytest.fixture
def web() -> Iterator[sinks.Web]:
    with sinks.web() as sink:
        yield sink


def channel(**declared: Any) -> Channel:
    (made,) = Alerts.model_validate({"channels": [declared]}).channels
    return made


EMAIL = channel(kind="email", to=["ann@example.com"])
WEBHOOK = channel(kind="webhook")


class TestEmail:
    def test_a_message_arrives_with_its_title_text_and_id(self, mail: sinks.Mail) -> None:
        channels.send(EMAIL, "ann@example.com", OPENED)
        (got,) = mail.taken
        assert got["Subject"] == "[CRM Ops] precompute_facets: 1 tenant failed"
        assert (got["From"], got["To"]) == ("crm@example.com", "ann@example.com")
        assert got["Message-ID"] == "<crm-ops.7.1700000000.opened@crm-ops>"
        body = got.get_body(("html",))
        assert body is not None
        assert "Müller &lt;&amp;&gt; Söhne (it broke)<br>" in body.get_content()

    def test_the_recovery_belongs_to_the_same_conversation(self, mail: sinks.Mail) -> None:
        over = Message(
            **{
                **{name: getattr(OPENED, name) for name in OPENED.__dataclass_fields__},
                "id": "crm-ops.7.1700000000.recovered",
                "phase": "recovered",
            }
        )
        channels.send(EMAIL, "ann@example.com", over)
        assert mail.taken[0]["In-Reply-To"] == f"<{OPENED.id}@crm-ops>"

    def test_a_server_that_takes_nothing(self, mail: sinks.Mail) -> None:
        mail.refusing = True
        with pytest.raises(errors.NotDelivered, match="come back later"):
            channels.send(EMAIL, "ann@example.com", OPENED)

    def test_a_server_that_is_away(self, connect: Connect) -> None:
        away = {"conn_type": "smtp", "host": ports.LOOPBACK, "port": ports.any_free()}
        connect("smtp_default", {**away, "password": "its-secret"})
        with pytest.raises(errors.NotDelivered, match="refused"):
            channels.send(EMAIL, "ann@example.com", OPENED)


class TestWebhook:
    @pytest.fixture(autouse=True)
    def webhook(self, web: sinks.Web, connect: Connect) -> None:
        host = f"{web.url}/hooks/a-token-in-the-path"
        connect("crm_ops_webhook", {"conn_type": "http", "host": host, "password": KEY})

    def test_it_is_signed_dated_and_known_by_its_id(self, web: sinks.Web) -> None:
        channels.send(WEBHOOK, "crm_ops_webhook", OPENED)
        (got,) = web.got
        assert got.path == "/hooks/a-token-in-the-path"
        signed = got.headers["X-CRM-Ops-Timestamp"].encode() + b"." + got.body
        expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
        assert got.headers["X-CRM-Ops-Signature"] == f"sha256={expected}"
        assert abs(time.time() - int(got.headers["X-CRM-Ops-Timestamp"])) < 60
        assert got.headers["Idempotency-Key"] == OPENED.id
        assert json.loads(got.body) == {
            "id": OPENED.id,
            "thread": OPENED.id,
            "phase": "opened",
            "incident": "tenants:precompute_facets",
            "kind": "tenants",
            "subject": "precompute_facets",
            "title": OPENED.title,
            "text": OPENED.text,
            "opened_at": "2026-05-01T12:00:00Z",
            "recovered_at": None,
        }

    def test_an_answer_that_is_no_success_is_a_failure(self, web: sinks.Web) -> None:
        web.status = 503
        with pytest.raises(errors.NotDelivered, match="the receiver answered 503"):
            channels.send(WEBHOOK, "crm_ops_webhook", OPENED)

    def test_a_receiver_that_is_away_is_told_without_its_address(self, connect: Connect) -> None:
        host = f"http://{ports.LOOPBACK}:{ports.any_free()}/a-token-in-the-path"
        connect("crm_ops_webhook", {"conn_type": "http", "host": host, "password": KEY})
        with pytest.raises(errors.NotDelivered, match="ConnectError") as told:
            channels.send(WEBHOOK, "crm_ops_webhook", OPENED)
        assert "a-token" not in str(told.value)
        assert KEY not in str(told.value)

    @pytest.mark.parametrize("lacking", ["host", "password"])
    def test_what_the_connection_lacks_is_said(self, connect: Connect, lacking: str) -> None:
        whole: dict[str, object] = {"conn_type": "http", "host": "http://x/", "password": KEY}
        connect("crm_ops_webhook", {**whole, lacking: None})
        with pytest.raises(errors.NotDelivered, match=f"crm_ops_webhook has no .*{lacking}"):
            channels.send(WEBHOOK, "crm_ops_webhook", OPENED)


def test_a_connection_that_is_not_there_is_named(metadata: None) -> None:
    with pytest.raises(errors.NotDelivered, match="no connection nobody_made_it"):
        channels.send(channel(kind="webhook", connection="nobody_made_it"), "x", OPENED)


class TestSlack:
    def test_a_message_arrives(self, web: sinks.Web, connect: Connect) -> None:
        connect(
            "slack_default",
            {"conn_type": "slackwebhook", "host": web.url, "password": "T0/B0/secret-token"},
        )
        channels.send(channel(kind="slack"), "slack_default", OPENED)
        (got,) = web.got
        assert got.path == "/T0/B0/secret-token"
        assert json.loads(got.body)["text"] == f"*{OPENED.title}*\n{OPENED.text}"

    def test_a_refusal_is_told_without_the_token(self, web: sinks.Web, connect: Connect) -> None:
        web.status = 403
        connect(
            "slack_default",
            {"conn_type": "slackwebhook", "host": web.url, "password": "T0/B0/secret-token"},
        )
        with pytest.raises(errors.NotDelivered) as told:
            channels.send(channel(kind="slack"), "slack_default", OPENED)
        assert "secret-token" not in str(told.value)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
class TestApprise:
    def given(self, web: sinks.Web, connect: Connect) -> None:
        address = web.url.replace("http://", "json://")
        config = [{"path": f"{address}/a-token", "tag": "alerts"}]
        connect("apprise_default", {"conn_type": "apprise", "extra": {"config": config}})

    def test_a_message_arrives(self, web: sinks.Web, connect: Connect) -> None:
        self.given(web, connect)
        channels.send(channel(kind="apprise"), "apprise_default", OPENED)
        (got,) = web.got
        assert json.loads(got.body)["title"] == OPENED.title

    def test_a_service_that_refuses_is_a_failure(self, web: sinks.Web, connect: Connect) -> None:
        """Airflow's own hook would say nothing."""
        web.status = 500
        self.given(web, connect)
        with pytest.raises(errors.NotDelivered, match="Apprise could not reach"):
            channels.send(channel(kind="apprise"), "apprise_default", OPENED)
