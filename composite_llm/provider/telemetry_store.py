"""The telemetry store of this process: one at a time, and the same as before where nothing changed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from composite_llm.observe.telemetry_settings import TelemetrySettings

if TYPE_CHECKING:
    from composite_llm.observe.store.store_observer import StoreObserver
    from composite_llm.observe.store.writing import ProviderOf


class Telemetry:
    """Holds the observer that writes.

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
