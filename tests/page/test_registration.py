"""What Airflow finds in the folder `plugins`: one file to import, light, and all it registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.dags.airflow_home import HOME, ROOT

_LOOK = """
import json, sys
from airflow import plugins_manager
before = set(sys.modules)
(plugins, errors) = plugins_manager._get_plugins()
new = sorted(set(sys.modules) - before)
print(json.dumps({
    "errors": errors,
    "plugins": [plugin.name for plugin in plugins if plugin.name.startswith("CRM")],
    "views": plugins_manager._get_ui_plugins()[0],
    "apps": [app["url_prefix"] for app in plugins_manager.get_fastapi_plugins()[0]],
    "cards": plugins_manager._get_ui_plugins()[1],
    "new": new,
}))
"""


@pytest.fixture(scope="module")
def found() -> Any:
    """What an Airflow process sees, with nothing but the plugins folder to help it."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOOK],
        env=environment,
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(told.stdout.splitlines()[-1])


def test_the_plugin_is_found_without_an_error(found: Any) -> None:
    assert found["errors"] == {}
    assert found["plugins"] == ["CRM Ops"], "the app's own files are no plugins"
    assert found["apps"] == ["/crm-ops"]


def test_it_is_in_the_navigation_and_on_the_home_page_with_relative_addresses(found: Any) -> None:
    (view,) = found["views"]
    assert (view["name"], view["destination"], view["url_route"]) == ("CRM Ops", "nav", "crm-ops")
    (card,) = found["cards"]
    assert card["destination"] == "dashboard"
    for address in (view["href"], view["icon"], view["icon_dark_mode"], card["bundle_url"]):
        assert address.startswith("crm-ops/")


def test_a_process_that_only_loads_plugins_pays_for_nothing_else(found: Any) -> None:
    ours = [name for name in found["new"] if name.startswith(("crm_ops", "include"))]
    assert sorted(ours) == ["crm_ops_page", "crm_ops_page_app", "crm_ops_page_app.door"]
    heavy = ("fastapi", "psycopg", "airflow.api_fastapi", "airflow.providers.postgres")
    assert [name for name in found["new"] if name.startswith(heavy)] == []
