"""The telemetry store: what runs did and cost, in an SQLite file that several processes share."""

from composite_llm.observe.store.sqlite import StoreUnavailable, UnknownRun
from composite_llm.observe.store.store import TraceStore

__all__ = ["StoreUnavailable", "TraceStore", "UnknownRun"]
