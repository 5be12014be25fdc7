"""A message arrives once; what fails is recorded, tried again later, and given up in the end."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from crm_ops.alerts.deliver import Message
from crm_ops.catalog.alerts import Channel
from tests.alerts.office import Office, Post


def deliveries(office: Office) -> list[tuple[Any, ...]]:
    return list(
        office.rows(
            "SELECT channel, phase, state, attempts, last_error FROM crm_ops.alert_delivery"
            " ORDER BY id"
        )
    )


@pytest.fixture
def opened(office: Office) -> Office:
    """An office with one incident that two recipients are to hear of."""
    office.evaluate(office.run("failed", error="why"))
    return office


def test_what_is_delivered_is_delivered_once(opened: Office) -> None:
    post = Post()
    assert opened.deliver(post).delivered == 2
    assert opened.deliver(post).delivered == 0
    assert [(kind, to) for kind, to, _ in post.sent] == [
        ("email", "ann@example.com"),
        ("webhook", "crm_ops_webhook"),
    ]
    assert [row[2:] for row in deliveries(opened)] == [("delivered", 1, None)] * 2


def test_a_channel_that_is_down_keeps_nothing_from_the_others(opened: Office) -> None:
    post = Post(down={"email"})
    done = opened.deliver(post)
    assert (done.delivered, done.failed, done.pending) == (1, 1, 1)
    assert deliveries(opened) == [
        ("email:smtp_default", "opened", "pending", 1, "email does not answer"),
        ("webhook:crm_ops_webhook", "opened", "delivered", 1, None),
    ]


def test_it_is_tried_again_later_and_arrives(opened: Office) -> None:
    post = Post(down={"email"})
    opened.deliver(post)
    post.down.clear()
    assert opened.deliver(post).delivered == 0, "a minute has not passed"
    opened.later(minutes=1)
    assert opened.deliver(post).delivered == 1
    assert deliveries(opened)[0] == ("email:smtp_default", "opened", "delivered", 2, None)


def test_a_channel_that_fails_is_asked_once_in_a_call(office: Office) -> None:
    """Each time may take as long as a server needs not to answer."""
    office.channels({"kind": "email", "to": ["ann@example.com", "bob@example.com"]})
    office.evaluate(office.run("failed"))
    assert office.deliver(Post(down={"email"})).failed == 1


def test_the_end_is_told_after_the_beginning(opened: Office) -> None:
    post = Post(down={"email", "webhook"})
    opened.deliver(post)
    opened.evaluate(opened.run())
    post.down.clear()
    assert opened.deliver(post).delivered == 0
    opened.later(minutes=5)
    assert opened.deliver(post).delivered == 4
    mail = [message.phase for kind, _, message in post.sent if kind == "email"]
    assert mail == ["opened", "recovered"]


def test_after_a_day_it_is_given_up_and_its_end_is_not_told(opened: Office) -> None:
    post = Post(down={"email"})
    opened.deliver(post)
    opened.later(hours=25)
    opened.deliver(post)
    assert deliveries(opened)[0][2:] == ("failed", 2, "email does not answer")
    opened.evaluate(opened.run())
    post.down.clear()
    opened.deliver(post)
    assert [(kind, m.phase) for kind, _, m in post.sent] == [
        ("webhook", "opened"),
        ("webhook", "recovered"),
    ]


def test_a_channel_that_was_taken_out_of_the_catalog_is_not_used_any_more(opened: Office) -> None:
    opened.channels({"kind": "webhook"})
    post = Post()
    opened.deliver(post)
    assert [kind for kind, _, _ in post.sent] == ["webhook"]
    assert "does not name this channel" in deliveries(opened)[0][4]


def test_many_senders_at_once_send_each_message_once(opened: Office) -> None:
    post = Post()
    threads = [threading.Thread(target=opened.deliver, args=(post,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(post.sent) == 2


def test_a_sender_that_was_killed_leaves_the_message_to_the_next(opened: Office) -> None:
    """After the time a sender may need; the same id lets a receiver know a message again."""

    class Killed(BaseException):
        pass

    seen: list[Message] = []

    def killed(_channel: Channel, _to: str, message: Message) -> None:
        seen.append(message)
        raise Killed

    with pytest.raises(Killed):
        opened.deliver(killed)  # type: ignore[arg-type]
    post = Post()
    assert opened.deliver(post).delivered == 1, "the other recipient's"
    opened.later(minutes=5)
    assert opened.deliver(post).delivered == 1
    assert seen[0].id in {message.id for kind, _, message in post.sent if kind == "email"}


def test_a_message_names_the_one_that_opened_its_incident(opened: Office) -> None:
    post = Post()
    opened.deliver(post)
    opened.later(hours=1)
    opened.evaluate(opened.run())
    opened.deliver(post)
    first, *_, last = [message for _, _, message in post.sent]
    assert first.id == first.thread == last.thread != last.id
    assert last.recovered_at is not None
    assert last.recovered_at - last.opened_at > timedelta(hours=1)
    assert "Opened: 2026-05-01 12:00:03 UTC" in last.text
