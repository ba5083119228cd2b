"""Scenarios from a file."""

import json
from pathlib import Path
from typing import Any

import yaml

from fake_server.scenario import ScenarioError


def read_scenario_file(path: Path) -> dict[str, dict[str, Any]] | None:
    """Return what a YAML or JSON file holds, not yet checked.

    Raises:
        ScenarioError: when the file cannot be read or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # YAML 1.1 reads JSON's 1e-3 as a text, so it cannot stand in for JSON.
        load = json.loads if path.suffix == ".json" else yaml.safe_load
        value: dict[str, dict[str, Any]] | None = load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        message = f"{path}: {error}"
        raise ScenarioError(message) from None
    return value
