"""Loopback ports: the one of the last start where it is still free, else another free one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_ops.base import errors
from crm_ops.local import private

LOOPBACK = "127.0.0.1"


def free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@contextmanager
def claimed(start: int) -> Iterator[int]:
    """`start` or the next free port of the hundred after it, passed over by every other stack."""
    for port in range(start, start + 100):
        # Its server will listen only in some seconds. The claim is a name of this network's own
        # that ends with our process.
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0crm-ops/port/{port}")
            except OSError:
                continue
            if free(port):
                yield port
                return
    raise errors.LocalError(f"no port from {start} to {start + 99} is free; stop what holds them")


def kept(file: Path, name: str) -> int:
    """The port that `file` remembers for `name` if it is free, else a new one, remembered."""
    known: dict[str, int] = private.read(file) or {}
    port = known.get(name)
    if port is None or not free(port):
        port = any_free()
        private.write(file, {**known, name: port})
    return port


def any_free() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


__all__ = ["LOOPBACK", "any_free", "claimed", "free", "kept"]
