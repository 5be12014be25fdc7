"""Outlives the stack's own process, however that ends, and stops what it left running.

Its standard input is a pipe that only the stack's process holds open: the end of the pipe is the
end of that process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from crm_ops.local import traces


def start(record: Path) -> subprocess.Popen[bytes]:
    """Start a guardian over what is noted in `record`; it ends after its pipe is closed."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "crm_ops.local.guardian", str(record)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main() -> None:
    """Wait for the end of the pipe, then stop what the record names."""
    sys.stdin.buffer.read()
    traces.stop(traces.read(Path(sys.argv[1])))


__all__ = ["main", "start"]

if __name__ == "__main__":
    main()
