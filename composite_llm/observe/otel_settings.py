"""What may be set about OpenTelemetry; free of OpenTelemetry, which is an extra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from composite_llm.model.errors import InvalidOption

CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_SWITCHES = ("spans", "metrics", "capture_content")
_CAPTURES_ON_SPANS = frozenset({"true", "1", "span_only", "span_and_event"})


@dataclass(frozen=True, slots=True)
class OtelSettings:
    """What is told to OpenTelemetry.

    Attributes:
        spans: Whether runs become spans.
        metrics: Whether runs are counted and measured.
        capture_content: Whether prompts, answers, tool arguments and results go onto the spans; None for what
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says, which is no when it is not set.
        tracer_provider: Where spans go; None for the application's global one.
        meter_provider: Where metrics go; None for the application's global one.
    """

    spans: bool = True
    metrics: bool = True
    capture_content: bool | None = None
    tracer_provider: Any = None
    meter_provider: Any = None

    @property
    def captures_content(self) -> bool:
        """The setting, or else what the environment says now."""
        if self.capture_content is not None:
            return self.capture_content
        # The conventions' variable names places; `event_only` leaves out spans, and there are no events of ours.
        return os.environ.get(CAPTURE_VARIABLE, "").strip().lower() in _CAPTURES_ON_SPANS


def otel_settings(given: Any) -> OtelSettings | None:
    """Checked settings.

    Args:
        given: True for the defaults, None or False for none, a mapping, or settings.

    Raises:
        InvalidOption: An unknown key, or a value that is none.
    """
    if given is None or given is False:
        return None
    if given is True:
        return OtelSettings()
    if isinstance(given, OtelSettings):
        return given
    if not isinstance(given, Mapping):
        raise InvalidOption("otel", f"got {given!r}", allowed="true, false or a mapping", value=given)
    for key, value in given.items():
        if key not in OtelSettings.__dataclass_fields__:
            known = ", ".join(OtelSettings.__dataclass_fields__)
            raise InvalidOption(f"otel.{key}", "unknown key", allowed=known, value=value)
        if key in _SWITCHES and not isinstance(value, bool):
            raise InvalidOption(f"otel.{key}", f"got {value!r}", allowed="true or false", value=value)
        if key == "tracer_provider" and value is not None and not hasattr(value, "get_tracer"):
            raise InvalidOption(f"otel.{key}", f"is a {type(value).__name__}", allowed="a TracerProvider", value=value)
        if key == "meter_provider" and value is not None and not hasattr(value, "get_meter"):
            raise InvalidOption(f"otel.{key}", f"is a {type(value).__name__}", allowed="a MeterProvider", value=value)
    return OtelSettings(**given)
