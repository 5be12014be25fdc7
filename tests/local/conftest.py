"""A folder for a server of a test's own, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_ops.local import place
from crm_ops.local.processes import Processes


@pytest.fixture
def home() -> Iterator[Path]:
    # As private as a home is: a server run for root by another user must not need to enter it.
    folder = Path(tempfile.mkdtemp(prefix="crm-ops-test-")).resolve()
    yield folder
    place.remove(folder / "postgres")
    shutil.rmtree(folder)


@pytest.fixture
def processes(home: Path) -> Iterator[Processes]:
    with Processes(home / "processes.json") as running:
        yield running
