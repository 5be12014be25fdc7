"""Receivers for tests: a mail server and a web server that keep what they are sent."""

from __future__ import annotations

import email
import email.message
import email.policy
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

from aiosmtpd.controller import Controller

from crm_ops.local import ports


@dataclass
class Mail:
    """A mail server at `port`, and what it took in; while `refusing` it takes nothing."""

    port: int
    taken: list[email.message.EmailMessage] = field(default_factory=list)
    refusing: bool = False

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        if self.refusing:
            return "451 come back later"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.taken.append(cast("email.message.EmailMessage", message))
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.taken]

    @property
    def connection(self) -> dict[str, Any]:
        """Airflow's connection to it."""
        return {
            "conn_type": "smtp",
            "host": ports.LOOPBACK,
            "port": self.port,
            "extra": {"from_email": "crm@example.com", "disable_ssl": True, "disable_tls": True},
        }


@contextmanager
def mail() -> Iterator[Mail]:
    """A mail server without TLS or login."""
    sink = Mail(ports.any_free())
    controller = Controller(sink, hostname=ports.LOOPBACK, port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


@dataclass(frozen=True)
class Request:
    """One POST."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """A web server at `url`, and the POSTs it got; it answers `status`."""

    url: str = ""
    got: list[Request] = field(default_factory=list)
    status: int = 200


@contextmanager
def web() -> Iterator[Web]:
    """A web server that says ok to every POST."""
    sink = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.got.append(Request(self.path, dict(self.headers), body))
            self.send_response(sink.status)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((ports.LOOPBACK, 0), Handler)
    sink.url = f"http://{ports.LOOPBACK}:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Statsd:
    """A receiver of StatsD's datagrams at `port`, and the lines that have arrived."""

    port: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def ours(self) -> dict[str, float]:
        """The last value of each gauge of ours."""
        cut = (line.partition(":") for line in self.lines if ".crm_ops." in line)
        return {name: float(value.partition("|")[0]) for name, _, value in cut}

    @property
    def configuration(self) -> str:
        """What makes Airflow send here."""
        return (
            "[metrics]\nstatsd_on = True\n"
            f"statsd_host = {ports.LOOPBACK}\nstatsd_port = {self.port}\n"
        )


@contextmanager
def statsd() -> Iterator[Statsd]:
    """A receiver that keeps every line."""
    sink = Statsd()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((ports.LOOPBACK, 0))
        receiver.settimeout(0.2)
        sink.port = receiver.getsockname()[1]
        ended = Event()

        def receive() -> None:
            while not ended.is_set():
                try:
                    sink.lines += receiver.recv(65_536).decode().splitlines()
                except TimeoutError:
                    continue

        thread = Thread(target=receive)
        thread.start()
        try:
            yield sink
        finally:
            ended.set()
            thread.join()


def as_json(value: object) -> str:
    """A value as Airflow's REST API takes the extras of a connection."""
    return json.dumps(value)


__all__ = ["Mail", "Request", "Statsd", "Web", "as_json", "mail", "statsd", "web"]
