"""Which observers a configuration wants: the log always, the others where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from composite_llm import __version__
from composite_llm.backend.interface import ModelFacts
from composite_llm.config.profiles import Profiles
from composite_llm.model.errors import InvalidOption
from composite_llm.observe.log import RunLog
from composite_llm.observe.observer import Observer, Observers
from composite_llm.observe.otel_settings import OtelSettings, otel_settings


def observers_of(given: Sequence[Observer], profiles: Profiles, facts: ModelFacts, *, otel: Any = None) -> Observers:
    """All that are told about a run, in this order: the log, those given, OpenTelemetry.

    Args:
        given: The application's own.
        profiles: Whose sections say what is wanted where no argument does.
        facts: Tells which provider a model is of.
        otel: As `register` takes it.

    Raises:
        InvalidOption: Settings that cannot be used, or a package that is not installed.
    """
    wanted: list[Observer] = [RunLog(), *given]
    settings = otel_settings(otel) if otel is not None else profiles.sections.get("otel")
    if settings is not None:
        wanted.append(_open_telemetry(settings, facts))
    return Observers(wanted)


def _open_telemetry(settings: OtelSettings, facts: ModelFacts) -> Observer:
    try:
        # Here and not above: OpenTelemetry is an extra.
        from composite_llm.observe.otel import OpenTelemetry
    except ImportError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        problem = f"the package {error.name!r} is missing; install composite-llm with its extra 'otel'"
        raise InvalidOption("otel", problem) from None
    return OpenTelemetry(settings, lambda model: facts.provider(model, {}), __version__)
