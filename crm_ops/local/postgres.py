"""An embedded PostgreSQL 18 on a loopback port, whatever an earlier one left behind."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from crm_ops.local import cluster, place, ports, traces
from crm_ops.local.processes import Processes, Program

_log = logging.getLogger(__name__)
_NAME = "postgresql"
# A last checkpoint may have much to write.
_GRACE_S = 60.0
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": ports.LOOPBACK,
    # The path of a socket may be too long for one; nobody here needs it.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # A crash of the machine may lose the last moment's commits, never consistency.
    "synchronous_commit": "off",
    # No replicas: bulk loads into new tables need no log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
}


@dataclass(frozen=True)
class Server:
    """A server that was started; its data folder says when it is ready."""

    port: int
    data: Path
    password: str = field(repr=False)

    def url(self, name: str) -> str:
        """The URL of the database `name`; it holds the password."""
        address = f"{ports.LOOPBACK}:{self.port}"
        return f"postgresql://{cluster.USER}:{self.password}@{address}/{name}"

    def ready(self) -> bool:
        """Whether it accepts connections."""
        lines = _lock_file(self.data)
        return len(lines) > 7 and lines[7].strip() == "ready"


def start(
    processes: Processes,
    base: Path,
    *,
    log: Path,
    port: int,
    password: str,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Server:
    """Start the server whose data are known by the path `base`, on `port`, and wait until it is up.

    `settings` are those of its configuration that are to be others than a small stack's.

    Raises LocalError where its data are of another major version, or it does not come up.
    """
    where = place.make(base)
    data = cluster.make(where, password)
    _clear(data)
    server = Server(port, data, password)
    given = {**_SETTINGS, **settings, "port": str(port)}
    processes.start(
        Program(
            name=_NAME,
            command=(
                str(where.programs / "postgres"),
                "-D",
                str(data),
                *(part for name, value in given.items() for part in ("-c", f"{name}={value}")),
            ),
            environment=cluster.environment(),
            folder=where.folder,
            log=log,
            account=where.account,
            stage=0,
            # A fast shutdown: sessions are ended, a checkpoint is written.
            stop_signal=signal.SIGINT,
            grace_s=_GRACE_S,
        )
    )
    # A crash before may have left much to replay.
    processes.until(server.ready, what="PostgreSQL", timeout_s=120)
    return server


def _clear(data: Path) -> None:
    """Stop a server that still runs on `data`; forget one that does not."""
    lines = _lock_file(data)
    if not lines:
        return
    pid = int(lines[0])
    if _serves(pid, data):
        _log.warning("a PostgreSQL left on %s is stopped", data, extra={"pid": pid})
        traces.stop([traces.Trace(_NAME, pid, traces.birth(pid), 0, signal.SIGINT, _GRACE_S)])
    # A new server takes any process that was given the number for a running server.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Whether the process is a server on `data`: a server works in the folder of its data."""
    process = Path(f"/proc/{pid}")
    try:
        program = (process / "comm").read_text(encoding="utf-8").strip()
        return program == "postgres" and (process / "cwd").samefile(data)
    except OSError:
        return False


def _lock_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


__all__ = ["Server", "start"]
