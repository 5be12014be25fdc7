"""Airflow on one small machine: its environment and the programs that are it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from crm_ops.base import settings
from crm_ops.local import ports, private
from crm_ops.local.credentials import Credentials
from crm_ops.local.layout import Layout
from crm_ops.local.processes import Program

# What a caller's shell may hold that is about another Airflow, another database, another Python.
_FOREIGN = ("AIRFLOW", "PYTHONPATH", "PYTHONHOME", settings.DATABASE_URL, settings.REDIS_URL)


def environment(
    layout: Layout,
    credentials: Credentials,
    *,
    inherited: Mapping[str, str],
    database_url: str,
    connections: Mapping[str, str],
    port: int,
) -> dict[str, str]:
    """The environment of every Airflow process of this stack.

    `database_url` is that of the metadata; `connections` holds `AIRFLOW_CONN_*` values, which win
    over connections of the same name in the metadata. Of `inherited` all is kept that does not
    steer Airflow or Python.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        # Without compiled files each process compiles 3,600 modules: a start takes twice the time.
        if not name.startswith(_FOREIGN) and name != "PYTHONDONTWRITEBYTECODE"
    }
    if catalog := kept.get(settings.CATALOG):
        kept[settings.CATALOG] = str(Path(catalog).resolve())
    address = f"http://{ports.LOOPBACK}:{port}"
    # A proxy of the caller's is not for loopback.
    direct = ",".join(filter(None, (kept.get("no_proxy") or kept.get("NO_PROXY"), ports.LOOPBACK)))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    options = {
        "API__BASE_URL": address,
        "API__HOST": ports.LOOPBACK,
        "API__PORT": str(port),
        "API__SECRET_KEY": credentials.airflow_secret_key,
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": credentials.airflow_jwt_secret,
        # Unpaused one by one when the data are there.
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "CORE__DAGS_FOLDER": str(layout.root / "dags"),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": credentials.airflow_fernet_key,
        # The default asks the name service, which a laptop may not have.
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": "4",
        "CORE__PLUGINS_FOLDER": str(layout.root / "plugins"),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(layout)),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # By default a new file is seen after five minutes.
        "DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        # We migrate; four processes need not look.
        "DATABASE__CHECK_MIGRATIONS": "False",
        "DATABASE__SQL_ALCHEMY_CONN": database_url.replace("postgresql:", "postgresql+psycopg2:"),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        # A worker sees the end of its task at its next heartbeat.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    return {
        **kept,
        **connections,
        settings.SIGNING_KEY: credentials.signing_key,
        **{f"AIRFLOW__{name}": value for name, value in options.items()},
        "AIRFLOW_HOME": str(layout.airflow),
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PATH": programs,
        "PYTHONPATH": str(layout.root),
    }


def write_logins(layout: Layout, credentials: Credentials) -> None:
    """Write the passwords of the users `admin` and `viewer` where Airflow reads them."""
    logins = {"admin": credentials.airflow_admin, "viewer": credentials.airflow_viewer}
    private.write(_passwords(layout), logins)


def programs(layout: Layout, environment: Mapping[str, str]) -> dict[str, Program]:
    """Airflow's programs by name: `migrate` and `settings` finish, the others stay."""
    settings_file = str(layout.root / "airflow_settings.yaml")
    finishing = {
        "migrate": ("airflow", "db", "migrate"),
        "settings": ("crm_ops", "settings", "apply", settings_file),
    }
    staying = {
        "api-server": ("airflow", "api-server"),
        # Log servers would listen on every address; the UI reads the log folder itself.
        "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
        "dag-processor": ("airflow", "dag-processor"),
        "triggerer": ("airflow", "triggerer", "--skip-serve-logs"),
    }
    return {
        name: Program(
            name=f"airflow-{name}",
            command=(sys.executable, "-m", "crm_ops.local.launch", *command),
            environment=environment,
            folder=layout.root,
            log=layout.logs / f"airflow-{name}.log",
            # At a stop the triggerer waits ten seconds for a process that is gone.
            grace_s=4.0 if name == "triggerer" else 12.0,
            finishes=name in finishing,
        )
        for name, command in {**finishing, **staying}.items()
    }


def fingerprint(layout: Layout) -> str:
    """What the metadata must have seen: this Airflow's tables, the settings file as it is."""
    version = importlib.metadata.version("apache-airflow-core")
    file = (layout.root / "airflow_settings.yaml").read_bytes()
    return f"Airflow {version}, settings {hashlib.sha256(file).hexdigest()[:16]}"


def _passwords(layout: Layout) -> Path:
    return layout.airflow / "logins.json"


__all__ = ["environment", "fingerprint", "programs", "write_logins"]
