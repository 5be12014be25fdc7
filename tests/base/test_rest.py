from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from crm_ops.base import errors, rest
from crm_ops.local import ports


class Stranger(BaseHTTPRequestHandler):
    """A server that knows no login of ours and says so."""

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(json.dumps({"detail": "Invalid credentials"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    server = ThreadingHTTPServer((ports.LOOPBACK, 0), Stranger)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{ports.LOOPBACK}:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_nobody_there_is_not_an_answer() -> None:
    url = f"http://{ports.LOOPBACK}:{ports.any_free()}"
    with rest.Airflow(url, rest.Login("admin", "secret")) as airflow:
        assert not airflow.answers()
        with pytest.raises(errors.AirflowError, match="does not answer"):
            airflow.dags()


def test_somebody_elses_server_on_the_port_is_not_ours(stranger: str) -> None:
    with rest.Airflow(stranger, rest.Login("admin", "secret")) as airflow:
        assert not airflow.answers()
        with pytest.raises(errors.AirflowError, match="refused POST /auth/token: 401") as told:
            airflow.dags()
    assert "secret" not in str(told.value)
