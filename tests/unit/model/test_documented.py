from __future__ import annotations

import subprocess
import sys
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from composite_llm.model.documented import describe_fields
from composite_llm.model.trace import Trace
from composite_llm.strategies.council import CouncilOptions


class Sky(BaseModel):
    model_config = ConfigDict(json_schema_extra=describe_fields)

    colour: str = "blue"
    """Seen from below,

    on a clear day.
    """
    height_km: float = Field(100.0, description="Its own description.")
    """Where it ends."""
    clouds: int = 0


class NightSky(Sky):
    colour: str = "black"
    """Between the stars."""
    moon: Sky | None = None
    """Another body's."""


def described(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.get("description") for name, field in model.model_json_schema()["properties"].items()}


def test_a_fields_docstring_is_its_description() -> None:
    assert described(Sky) == {
        "colour": "Seen from below,\n\non a clear day.",
        "height_km": "Its own description.",
        "clouds": None,
    }


def test_a_subclass_has_the_descriptions_of_its_parents_and_its_own() -> None:
    found = NightSky.model_json_schema()
    properties = found["$defs"]["NightSky"]["properties"] if "$ref" in found else found["properties"]
    assert properties["colour"]["description"] == "Between the stars."
    assert properties["moon"]["description"] == "Another body's."
    assert properties["height_km"]["description"] == "Its own description."


def test_our_models_are_described() -> None:
    assert described(CouncilOptions)["quorum"] == "Usable answers a stage needs."
    assert described(Trace)["started_at"] == "UTC."


def test_a_model_without_source_has_no_descriptions() -> None:
    program = """
from pydantic import BaseModel, ConfigDict
from composite_llm.model.documented import describe_fields
class Sky(BaseModel):
    model_config = ConfigDict(json_schema_extra=describe_fields)
    colour: str = "blue"
    'Seen from below.'
print(Sky.model_json_schema()["properties"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "description" not in done.stdout
