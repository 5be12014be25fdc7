"""A wire to a server on this machine, that counts the round trips over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Passes on what both sides say; a trip begins where the client speaks after the server did."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = [self._listener]
        self.port = int(self._listener.getsockname()[1])
        self.trips = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._ends += [client, server]
                turn = _Turn()
                for source, target, asks in ((client, server, True), (server, client, False)):
                    pump = threading.Thread(
                        target=self._pass_on, args=(source, target, turn, asks), daemon=True
                    )
                    pump.start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, turn: _Turn, asks: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if asks and not turn.asked:
                    self.trips += 1
                turn.asked = asks
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Cut it."""
        for end in self._ends:
            end.close()


class _Turn:
    """Whether the client spoke last."""

    asked = False


@contextmanager
def to(host: str, port: int) -> Iterator[Wire]:
    """A wire to a server."""
    wire = Wire(host, port)
    try:
        yield wire
    finally:
        wire.close()


__all__ = ["Wire", "to"]
