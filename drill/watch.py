"""Looks at all that Redis serves, over and over: no value may ever go back to an older one."""

from __future__ import annotations

import threading
from typing import Self

import redis

from crm_ops.publish.codec import VERSION_DIGITS

_EVERY_S = 0.02


class Watch:
    """`looks` values were seen; `went_back` tells each that was older than before."""

    def __init__(self, url: str) -> None:
        self.looks = 0
        self.went_back: list[str] = []
        self._last: dict[bytes, int] = {}
        self._client = redis.Redis.from_url(url)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._client.close()

    def _look(self) -> None:
        while not self._done.wait(_EVERY_S):
            keys = list(self._client.scan_iter("crmops:*", count=1000))
            for key, value in zip(keys, self._client.mget(keys) if keys else [], strict=True):
                if value is not None:
                    self._note(key, int(value[:VERSION_DIGITS]))

    def _note(self, key: bytes, version: int) -> None:
        before = self._last.get(key, 0)
        if version < before:
            self.went_back.append(f"{key.decode()}: {version} after {before}")
        self._last[key] = version
        self.looks += 1
