"""A node: one model to ask, and how."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from composite_llm.model.documented import describe_fields
from composite_llm.model.errors import InvalidOption
from composite_llm.model.model_strings import is_composite_model

_ENVIRONMENT_PREFIX = "os.environ/"


def _from_string(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


class NodeSettings(BaseModel):
    """Settings of a node whose model may come from elsewhere: `aggregator` and `chairman`.

    Every other key is a LiteLLM call parameter (`temperature`, `api_base`, …) or, for a nested composite, its option.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", json_schema_extra=describe_fields, protected_namespaces=(), allow_inf_nan=False
    )

    model: str | None = None
    """A LiteLLM model string."""
    name: str | None = None
    """The label in traces; the model if absent."""
    system: str | None = None
    """A persona: an extra system prompt, or `persona:NAME` for one that ships."""
    num_retries: NonNegativeInt = 2
    """Further tries after a failed one."""
    timeout: PositiveFloat | None = None
    """Seconds for one attempt."""
    fallbacks: tuple[Node, ...] = ()
    """Nodes tried in order when this one has failed."""
    hedge_after_s: PositiveFloat | None = None
    """After so many seconds a second identical attempt starts; the first usable answer counts."""
    context_window: PositiveInt | None = None
    """Tokens of the model's whole window, the answer included; LiteLLM's table if absent."""

    @model_validator(mode="before")
    @classmethod
    def _accept_a_model_string(cls, value: Any) -> Any:
        return _from_string(value)

    @property
    def params(self) -> dict[str, Any]:
        """The node's own LiteLLM call parameters, as written."""
        return dict(self.model_extra or {})


class Node(NodeSettings):
    """One model to ask, and how."""

    model: Annotated[str, MinLen(1)]

    @property
    def label(self) -> str:
        """What traces call it."""
        return self.name or self.model

    @property
    def is_composite(self) -> bool:
        """Whether it is a composite itself."""
        return is_composite_model(self.model)


NodeSettings.model_rebuild()
NODE_KEYS: frozenset[str] = frozenset(NodeSettings.model_fields)


def resolved_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with `os.environ/NAME` read now.

    Raises:
        InvalidOption: a named variable is not set.
    """
    return {key: _from_environment(key, value) for key, value in params.items()}


def is_from_environment(value: Any) -> bool:
    """Whether a setting names an environment variable instead of a value."""
    return isinstance(value, str) and value.startswith(_ENVIRONMENT_PREFIX)


def _from_environment(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return resolved_params(value)
    if not is_from_environment(value):
        return value
    variable = value.removeprefix(_ENVIRONMENT_PREFIX)
    if variable not in os.environ:
        raise InvalidOption(
            key, f"the environment has no variable {variable!r}", allowed="os.environ/NAME of a set one"
        )
    return os.environ[variable]
