"""The alert rules and the board, as their files have them, and what they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import promql_parser
import yaml

FOLDER = Path(__file__).parents[1] / "config" / "observability"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
#: What is not ours: made by Prometheus for each scrape.
OF_PROMETHEUS = {"up"}


def expressions() -> list[str]:
    """Every PromQL expression of both."""
    shown = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]]
    return [rule["expr"] for rule in RULES] + shown


def metrics_in(expression: str) -> set[str]:
    """The names of all metrics that a PromQL expression reads. Raises ValueError when it is none."""
    names: set[str] = set()

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(expression), note)
    return names - OF_PROMETHEUS
