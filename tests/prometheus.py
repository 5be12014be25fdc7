"""Reads `include/monitoring` as a StatsD exporter, Grafana and Prometheus would."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[1] / "include" / "monitoring"


def mapped(statsd: str) -> str | None:
    """The Prometheus name of a StatsD name by our mapping; None where no rule matches."""
    for rule in yaml.safe_load((FOLDER / "statsd_mapping.yml").read_text())["mappings"]:
        pattern = re.escape(rule["match"]).replace(r"\*", "([^.]+)")
        if found := re.fullmatch(pattern, statsd):
            name: str = rule["name"]
            for at, part in enumerate(found.groups(), start=1):
                name = name.replace(f"${{{at}}}", part)
            return name
    return None


def named_in(file: str) -> set[str]:
    """Every figure of ours that a file names."""
    return set(re.findall(r"\bairflow_crm_ops_\w+", (FOLDER / file).read_text(encoding="utf-8")))


__all__ = ["FOLDER", "mapped", "named_in"]
