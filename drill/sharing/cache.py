"""A Redis that crashes and is started again, with what it had at the crash before."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis

from crm_ops.base import store
from crm_ops.local import ports
from crm_ops.local import redis as local_redis

PASSWORD = "for-the-drill-only"


class Cache:
    """A process of our own, killed without a word; old values come back with each start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        port = ports.any_free()
        program, _ = local_redis.find(os.environ.get("PATH", os.defpath))
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
        self.restarts = 0
        self._dump, self._now, self._before = (
            folder / name for name in ("dump.rdb", "now.rdb", "before.rdb")
        )
        self._command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        self._command += ["--dir", str(folder), "--requirepass", PASSWORD]
        self._start()

    def crash(self) -> None:
        """Kill it, and start it with the values of the crash before: all of them are old."""
        with suppress(redis.RedisError), store.client(self.url) as client:
            client.save()
        self.close()
        self._dump.replace(self._now)
        if self._before.exists():
            self._before.replace(self._dump)
        self._now.replace(self._before)
        self._start()
        self.restarts += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with store.client(self.url) as client:
            while True:
                with suppress(redis.RedisError):
                    client.ping()
                    return
                time.sleep(0.01)
                if self._process.poll() is not None:
                    raise RuntimeError(f"Redis ended with {self._process.returncode}")


__all__ = ["Cache"]
