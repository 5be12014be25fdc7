"""A relay in a process of its own that adds to the round trip to PostgreSQL and Redis."""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from bench.sharing.company import Place

_LOOPBACK = "127.0.0.1"
_SET_TIMER_SLACK = 29


@contextmanager
def delayed(place: Place, milliseconds: float) -> Iterator[Place]:
    """The same place, further away by so many milliseconds there and back."""
    with ExitStack() as stack:
        yield Place(
            _relayed(stack, place.database_url, milliseconds / 2000),
            _relayed(stack, place.redis_url, milliseconds / 2000),
        )


def _relayed(stack: ExitStack, url: str, one_way_s: float) -> str:
    parts = urlsplit(url)
    listener = stack.enter_context(socket.create_server((_LOOPBACK, 0)))
    process = mp.get_context("fork").Process(
        target=_serve, args=(listener, (parts.hostname, parts.port), one_way_s), daemon=True
    )
    process.start()
    stack.callback(process.join)
    stack.callback(process.terminate)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{_LOOPBACK}:{listener.getsockname()[1]}"))


def _serve(listener: socket.socket, to: tuple[str, int], one_way_s: float) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(to)
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass, args=(one, other, one_way_s), daemon=True).start()


def _pass(one: socket.socket, other: socket.socket, one_way_s: float) -> None:
    # Linux rounds sleeps up by 50 microseconds unless told otherwise, by thread.
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)
    with suppress(OSError):
        while data := one.recv(1 << 16):
            if one_way_s:
                time.sleep(one_way_s)
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


__all__ = ["delayed"]
