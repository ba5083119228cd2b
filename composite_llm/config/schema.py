"""The JSON Schema of a configuration file, for editors that complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.registry import STRATEGIES
from composite_llm.observe.otel_settings import OtelSettings
from composite_llm.observe.telemetry_settings import TelemetrySettings

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_NODES = ("Node", "NodeSettings")
_OF_THE_CODE = ("tracer_provider", "meter_provider")
"""Objects that a program passes; no file can hold them."""


def config_schema() -> dict[str, Any]:
    """The schema."""
    kinds: list[type[BaseModel]] = [*STRATEGIES.values(), TelemetrySettings]
    made, defs = models_json_schema([(kind, "validation") for kind in kinds], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = defs["$defs"]
    for name in _NODES:
        definitions[name] = _or_a_model_string(definitions[name])
    # Its defaults are this machine's.
    definitions["TelemetrySettings"]["properties"]["path"].pop("default", None)
    for name, options in STRATEGIES.items():
        reference = made[options, "validation"]["$ref"].removeprefix("#/$defs/")
        definitions[reference] = _profile(name, definitions[reference])
    references = [made[options, "validation"] for options in STRATEGIES.values()]
    return {
        "$schema": DRAFT,
        "title": "Configuration of composite_llm",
        "type": "object",
        "properties": {
            "profiles": {
                "description": "Each is a model of its own: composite/profile/NAME.",
                "type": ["object", "null"],
                "additionalProperties": {"oneOf": references},
            },
            "telemetry": {
                "description": "The store of past runs: on, off, a path, or settings.",
                "anyOf": [
                    {"type": ["boolean", "string", "null"]},
                    made[TelemetrySettings, "validation"],
                ],
            },
            "otel": _otel(),
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _profile(strategy: str, options: dict[str, Any]) -> dict[str, Any]:
    own = {
        "strategy": {"const": strategy, "description": "How the models work together."},
        "model": {"type": "string", "minLength": 1, "description": "The model that writes the answer."},
        "description": {"description": "For people."},
    }
    parameters = {name: {"description": "A call parameter of LiteLLM."} for name in sorted(PROFILE_PARAMETERS)}
    return {
        **options,
        "title": f"Profile with the strategy {strategy}",
        "properties": {**own, **parameters, **options["properties"]},
        "required": ["strategy"],
    }


def _or_a_model_string(node: dict[str, Any]) -> dict[str, Any]:
    """The short form of a node, which a validator turns into the long one."""
    return {"anyOf": [{"type": "string", "minLength": 1, "description": "A model string."}, node]}


def _otel() -> dict[str, Any]:
    settings = TypeAdapter(OtelSettings).json_schema()
    properties = {key: value for key, value in settings["properties"].items() if key not in _OF_THE_CODE}
    return {
        "description": "What is told to OpenTelemetry.",
        "anyOf": [
            {"type": ["boolean", "null"]},
            {"type": "object", "properties": properties, "additionalProperties": False},
        ],
    }
