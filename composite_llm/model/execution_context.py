"""What a request may say about its place in a larger workflow, as the request's `metadata`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveFloat, field_validator

from composite_llm.model.documented import describe_fields

_TEXTS = ("user_id", "workflow_name", "step_name", "task_type", "provider_hint", "tier_hint", "session_id", "project")
_KNOWN = frozenset({*_TEXTS, "timeout_seconds", "tags"})
_MAX_CHARACTERS = 200
_MAX_TAGS = 32


class ExecutionContext(BaseModel):
    """Who asks, in which workflow and for what; the known keys of a request's `metadata`.

    None of it changes how a run is carried out: the keys are stored with the run, to find runs and to add them up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields)

    user_id: str | None = None
    """The person or system on whose behalf the request is made, as the application names it."""
    workflow_name: str | None = None
    step_name: str | None = None
    """The step of the workflow."""
    task_type: str | None = None
    """The kind of work, such as `summarize`."""
    provider_hint: str | None = None
    """The provider that the application prefers; stored, without effect."""
    tier_hint: str | None = None
    """The class of model that the application prefers, such as `fast`; stored, without effect."""
    timeout_seconds: PositiveFloat | None = None
    """The time that the workflow has left; stored, without effect: the limit of a run is `timeout`."""
    session_id: str | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = {}
    """Anything else, under the application's own keys."""

    @field_validator("metadata")
    @classmethod
    def _own_keys(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        taken = sorted(_KNOWN & value.keys())
        if taken:
            message = f"{taken[0]!r} is a field of ExecutionContext itself"
            raise ValueError(message)
        return value

    def as_metadata(self) -> dict[str, Any]:
        """The mapping for `litellm.completion(metadata=…)`: the fields that are set, and the application's own keys."""
        known = {name: value for name in sorted(_KNOWN) if (value := getattr(self, name)) not in (None, ())}
        if self.tags:
            known["tags"] = list(self.tags)
        return {**self.metadata, **known}

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, Any] | None) -> ExecutionContext:
        """Read a request's `metadata`; a value of the wrong type counts as absent, since a client may send anything.

        A text is cut after 200 characters, tags after 32 of them.
        """
        given = metadata or {}
        known: dict[str, Any] = {name: text for name in _TEXTS if (text := _text(given.get(name))) is not None}
        known["timeout_seconds"] = _seconds(given.get("timeout_seconds"))
        known["tags"] = _tags(given.get("tags"))
        known["metadata"] = {str(key): value for key, value in given.items() if key not in _KNOWN}
        # Every value is of its type by now, and this is done for every run.
        return cls.model_construct(**known)


def _text(value: Any) -> str | None:
    # First, since most are not there.
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip()[:_MAX_CHARACTERS] or None


def _seconds(value: Any) -> float | None:
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def _tags(value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    texts = (_text(tag) for tag in given[:_MAX_TAGS])
    return tuple(dict.fromkeys(text for text in texts if text is not None))
