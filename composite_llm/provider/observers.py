"""Who is told about the runs of this process: the log always, OpenTelemetry and the telemetry store where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from composite_llm.backend.interface import ModelFacts
from composite_llm.config.profiles import Profiles
from composite_llm.model.errors import InvalidOption
from composite_llm.model.version import __version__
from composite_llm.observe.log import RunLog
from composite_llm.observe.observer import Observer, Observers
from composite_llm.observe.otel_settings import OtelSettings, otel_settings
from composite_llm.observe.telemetry_settings import TelemetrySettings

if TYPE_CHECKING:
    from composite_llm.observe.store.store_observer import StoreObserver
    from composite_llm.observe.store.writing import ProviderOf


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


class Telemetry:
    """The telemetry store of this process: one at a time, and the same as before where nothing changed.

    Args:
        provider_of: The provider of a model; asked once for each.
    """

    def __init__(self, provider_of: ProviderOf) -> None:
        self._provider_of = lru_cache(maxsize=1024)(provider_of)
        self._observer: StoreObserver | None = None

    def observer(self, settings: TelemetrySettings | None) -> StoreObserver | None:
        """The observer for these settings; an earlier one writes what it has and gives up its file."""
        before = self._observer
        if before is not None and before.settings == settings:
            return before
        self._observer = self._made(settings)
        if before is not None:
            before.close()
        return self._observer

    def _made(self, settings: TelemetrySettings | None) -> StoreObserver | None:
        if settings is None:
            return None
        # Loaded where telemetry is on: SQLite is nothing that every process needs.
        from composite_llm.observe.store.store_observer import StoreObserver

        return StoreObserver(settings, self._provider_of)

    def flush(self, timeout_s: float) -> bool:
        """As `StoreObserver`; True without telemetry."""
        return self._observer is None or self._observer.flush(timeout_s)
