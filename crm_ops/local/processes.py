"""Starts programs, watches them, and stops exactly what it started.

Each program leads a session of its own, so a Ctrl-C at the terminal reaches only us and we decide
the order. What was started is on record before anything else happens: should we be killed, the
guardian stops it, and should the guardian be killed too, the next start does.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from crm_ops.base import errors
from crm_ops.local import guardian, traces
from crm_ops.local.account import Account

_log = logging.getLogger(__name__)
_POLL_S = 0.05
_TAIL_LINES = 15


@dataclass(frozen=True)
class Program:
    """A program to start: its output goes to `log`, anew at each start.

    A program with a higher `stage` uses those with a lower one and is stopped before them. A
    program that `finishes` may end by itself with code 0; any other end is an error.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    account: Account | None = None
    stage: int = 1
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 12.0
    finishes: bool = False


class Processes:
    """What one stack runs, noted in the file `record`."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._running: dict[str, tuple[Program, subprocess.Popen[bytes], traces.Trace]] = {}

    def __enter__(self) -> Self:
        traces.stop(traces.read(self._record))
        traces.write(self._record, [])
        self._guardian = guardian.start(self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything; interrupted here, the guardian finishes the work."""
        traces.stop([trace for _, _, trace in self._running.values()])
        for _, child, _ in self._running.values():
            child.wait()
        self._running.clear()
        self._note()
        self._guardian.communicate()

    def start(self, program: Program) -> None:
        """Start `program` and return at once. Raises LocalError where it cannot be started."""
        account = program.account
        try:
            with program.log.open("wb") as log:
                child = subprocess.Popen(  # noqa: S603 - commands of this package
                    program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=program.environment,
                    cwd=program.folder,
                    start_new_session=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
        except OSError as error:
            raise errors.LocalError(f"{program.name} cannot be started: {error}") from error
        trace = traces.Trace(
            name=program.name,
            pid=child.pid,
            birth=traces.birth(child.pid),
            stage=program.stage,
            stop_signal=program.stop_signal,
            grace_s=program.grace_s,
        )
        self._running[program.name] = (program, child, trace)
        self._note()
        _log.info("started %s", program.name, extra={"pid": child.pid})

    def finish(self, name: str, *, timeout_s: float) -> None:
        """Wait until the program `name`, which finishes, has ended well."""
        self.until(lambda: name not in self._running, what=name, timeout_s=timeout_s)

    def until(
        self, ready: Callable[[], bool], *, what: str, timeout_s: float, every_s: float = _POLL_S
    ) -> None:
        """Wait until `ready()`. Raises LocalError when a program dies meanwhile, or too late."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            if ready():
                return
            if time.monotonic() > deadline:
                logs = ", ".join(str(program.log) for program, _, _ in self._running.values())
                raise errors.LocalError(f"{what} was not ready after {timeout_s:g} s; see {logs}")
            time.sleep(every_s)

    def stay(self) -> None:
        """Wait for a Ctrl-C. Raises LocalError when a program dies meanwhile."""
        try:
            while True:
                self.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            _log.info("asked to stop")

    def check(self) -> None:
        """Raise LocalError where a program has died, with the last lines it wrote."""
        for program, child, _ in list(self._running.values()):
            code = child.poll()
            if code is None:
                continue
            if not (program.finishes and code == 0):
                raise errors.LocalError(
                    f"{program.name} ended with code {code}; {program.log} ends with:\n"
                    + _tail(program.log)
                )
            del self._running[program.name]
            self._note()

    def _note(self) -> None:
        traces.write(self._record, [trace for _, _, trace in self._running.values()])


def _tail(log: Path) -> str:
    """The last lines of a log file, indented."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])


__all__ = ["Processes", "Program"]
