"""What runs, written down so that whoever comes later stops exactly that: guardian or next start.

A process is known by its number and its birth (the kernel's boot and start time), so that another
one that was given the same number is never taken for it. Its children are known by its session.
Needs Linux' /proc.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from crm_ops.local import private

_log = logging.getLogger(__name__)
_POLL_S = 0.05


@dataclass(frozen=True)
class Trace:
    """A process that leads a session of its own.

    Higher stages are stopped first: `stop_signal` is sent to it alone, and after `grace_s` seconds
    SIGKILL to all of its session.
    """

    name: str
    pid: int
    birth: str
    stage: int
    stop_signal: int
    grace_s: float


@dataclass(frozen=True)
class _Status:
    state: str
    session: int
    birth: str

    def lives_in(self, session: int) -> bool:
        """Whether it is of that session; of a dead one (Z, X) nothing is left but a line."""
        return self.session == session and self.state not in "ZX"


def birth(pid: int) -> str:
    """The birth of the process `pid`, or "" where there is none."""
    status = _status(pid)
    return status.birth if status else ""


def write(record: Path, traces: Iterable[Trace]) -> None:
    """Note that these run, and no others."""
    private.write(record, [asdict(trace) for trace in traces])


def read(record: Path) -> list[Trace]:
    """What `write` noted; nothing where there is no record."""
    return [Trace(**fields) for fields in private.read(record) or []]


def stop(traces: Sequence[Trace]) -> None:
    """Stop those that still run, stage by stage; return when they and their children are gone."""
    for stage in sorted({trace.stage for trace in traces}, reverse=True):
        _stop_together([trace for trace in traces if trace.stage == stage])


def _stop_together(traces: Sequence[Trace]) -> None:
    since = time.monotonic()
    for trace in _running(traces):
        _send(trace.pid, trace.stop_signal)
    while left := _running(traces):
        waited_s = time.monotonic() - since
        for trace, members in left.items():
            if waited_s > trace.grace_s:
                _log.info("%s did not stop in %g s and is killed", trace.name, trace.grace_s)
                for pid in members:
                    _send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _running(traces: Sequence[Trace]) -> dict[Trace, list[int]]:
    """The processes that live in the session of each trace, for those that have some."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    everyone = {pid: status for pid in numbers if (status := _status(pid))}
    running = {}
    for trace in traces:
        leader = everyone.get(trace.pid)
        # A session's number is not given again while one of its processes lives: whoever has it and
        # was born at another time leads another session.
        if leader is None or leader.birth == trace.birth:
            running[trace] = [pid for pid, status in everyone.items() if status.lives_in(trace.pid)]
    return {trace: members for trace, members in running.items() if members}


def _status(pid: int) -> _Status | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may hold anything.
    fields = text.rpartition(")")[2].split()
    return _Status(state=fields[0], session=int(fields[3]), birth=f"{_boot()}/{fields[19]}")


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


__all__ = ["Trace", "birth", "read", "stop", "write"]
