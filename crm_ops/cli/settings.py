"""`crm-ops settings`: pools, connections and variables where Astro's CLI is not there.

Airflow is another program here: its own Python module does the work, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Airflow's pools, connections and variables.", no_args_is_help=True)


@app.callback()
def settings() -> None:
    """Airflow's pools, connections and variables."""


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="The file, with the keys of Astro's CLI.")] = Path(
        "airflow_settings.yaml"
    ),
) -> None:
    """Apply the file to the Airflow of this environment; applying twice changes nothing."""
    ended = subprocess.run(  # noqa: S603  (our own module, run by our own Python)
        [sys.executable, "-m", "include.settings", "apply", str(file)], check=False
    )
    raise typer.Exit(ended.returncode)


__all__ = ["app"]
