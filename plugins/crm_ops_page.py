"""Registers the page "CRM Ops" in Airflow's navigation, and its health card on Airflow's home."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from crm_ops_page_app.door import Door

# Addresses are relative, so that they hold where Airflow has a base path.
_AT = "crm-ops"


class CrmOpsPage(AirflowPlugin):
    """What Airflow shows of us; the app itself is made when it is first asked."""

    name = "CRM Ops"
    fastapi_apps: ClassVar[list[Any]] = [{"name": name, "app": Door(), "url_prefix": f"/{_AT}"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": name,
            "href": f"{_AT}/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": _AT,
            "icon": f"{_AT}/static/icon.svg",
            "icon_dark_mode": f"{_AT}/static/icon-dark.svg",
        }
    ]
    react_apps: ClassVar[list[Any]] = [
        {
            "name": "CRM Ops health",
            "bundle_url": f"{_AT}/static/card.js",
            "destination": "dashboard",
            "url_route": f"{_AT}-health",
        }
    ]
