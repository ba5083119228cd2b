"""Workflows as YAML says them: checked when they are read, their expressions included."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from composite_llm.work.errors import WorkError
from composite_llm.work.fencing import fenced
from composite_llm.work.tools.schemas import SCHEMAS
from composite_llm.work.workflows.scans import SCANS

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
SHIPPED = ("security-audit", "bug-prediction", "performance-audit")
_UNFENCED = 200


class InvalidWorkflow(WorkError):
    """A workflow's file cannot be used as it is."""


class _Material(str):
    """A text that stands between marks already."""

    __slots__ = ()


def _in_a_prompt(value: Any) -> Any:
    """What a value becomes in a prompt: anything long or of several lines is material, not instructions."""
    if isinstance(value, _Material):
        return value
    text = value if isinstance(value, str) else str(value)
    return _Material(fenced(text, "a value")) if "\n" in text or len(text) > _UNFENCED else text


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=_in_a_prompt, autoescape=False, keep_trailing_newline=False
    )
    environment.filters["fenced"] = lambda text, source="material": _Material(fenced(str(text), str(source)))
    environment.globals.clear()
    return environment


TEMPLATES = _environment()


class Step(BaseModel):
    """One step: a scan, or a prompt that is asked once or for each element of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    prompt: str | None = None
    scan: dict[str, Any] | None = None
    system: str | None = None
    task_type: str | None = None
    tier: str | None = None
    model: str | None = None
    fallbacks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    output: dict[str, Any] | None = None
    when: str | None = None
    for_each: str | None = None
    parallel: PositiveInt = 1
    merge: bool = False

    @field_validator("output")
    @classmethod
    def _is_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            Draft202012Validator.check_schema(schema if schema is not None else {})
        except SchemaError as error:
            message = f"is no JSON Schema: {error.message[:200]}"
            raise ValueError(message) from None
        return schema

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.prompt is None) == (self.scan is None):
            raise ValueError("has either a prompt or a scan")
        if self.scan is not None and not self.scan.keys() & SCANS.keys():
            raise ValueError(f"scan knows {', '.join(SCANS)}")
        unknown = [name for name in self.tools if name not in SCHEMAS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no tool; there are {', '.join(SCHEMAS)}")
        if self.merge and (self.for_each is None or (self.output or {}).get("type") != "object"):
            raise ValueError("merge needs for_each, and an output of type object")
        try:
            TEMPLATES.from_string(self.prompt or "")
            for expression in (self.when, self.for_each):
                TEMPLATES.compile_expression(expression or "none")
        except TemplateError as error:
            message = f"has a template that cannot be read: {str(error)[:200]}"
            raise ValueError(message) from None
        return self


class Workflow(BaseModel):
    """Steps in their order, the inputs with their defaults, and which result has the findings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    inputs: dict[str, Any] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    findings: str | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [step.name for step in self.steps]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two steps are called {twice!r}")
        try:
            TEMPLATES.compile_expression(self.findings or "none")
        except TemplateError as error:
            message = f"findings cannot be read: {str(error)[:200]}"
            raise ValueError(message) from None
        return self


def load_workflow(source: str | os.PathLike[str]) -> Workflow:
    """A workflow by the name of one that ships, or from a file.

    Raises:
        InvalidWorkflow: There is none, or it has mistakes; each is named.
    """
    if str(source) in SHIPPED:
        text = resources.files(__package__).joinpath("shipped", f"{source}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError):
            raise InvalidWorkflow(
                f"no workflow {str(source)!r}: neither a file nor one of {', '.join(SHIPPED)}"
            ) from None
    try:
        return Workflow.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise InvalidWorkflow(f"{source}: no YAML{f' (line {where.line + 1})' if where else ''}") from None
    except ValidationError as error:
        told = [f"{'.'.join(str(part) for part in one['loc']) or 'workflow'}: {one['msg']}" for one in error.errors()]
        raise InvalidWorkflow(f"{source}: " + "; ".join(told[:5])) from None
