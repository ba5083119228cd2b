"""The record of every request, in the order of arrival."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SECRET_PARTS = ("key", "authorization", "cookie", "token", "secret")


@dataclass(slots=True)
class Record:
    """One request as it arrived, and what became of it."""

    id: int
    method: str
    path: str
    headers: dict[str, str]
    started_at: float
    in_flight: int
    model: str | None = None
    body: Any = None
    stream: bool = False
    status: int | None = None
    usage: dict[str, Any] | None = None
    chunks: int = 0
    disconnected: bool = False
    finished_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether the request is still being answered."""
        return self.finished_at is None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as it goes over HTTP."""
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    """All requests since the start, or since it was cleared."""

    def __init__(self) -> None:
        """Start the clock that the offsets count from."""
        self._start = time.monotonic()
        self._last_id = 0
        self._header_verdicts: dict[str, bool] = {}
        self.records: list[Record] = []
        self.models: dict[str, None] = {}
        self.open_requests = 0
        self.max_in_flight = 0

    def arrive(self, method: str, path: str, headers: Mapping[str, str]) -> Record:
        """Write down a request that arrived; ``in_flight`` counts it and all that are still open."""
        self._last_id += 1
        self.open_requests += 1
        self.max_in_flight = max(self.max_in_flight, self.open_requests)
        offset = time.monotonic() - self._start
        record = Record(self._last_id, method, path, self._harmless(headers), offset, self.open_requests)
        self.records.append(record)
        return record

    def finish(self, record: Record) -> None:
        """Write down that a request has ended."""
        self.open_requests -= 1
        record.finished_at = time.monotonic() - self._start

    def clear(self) -> None:
        """Forget all requests; those still open go on, unrecorded."""
        self.records = []
        self.max_in_flight = self.open_requests

    def as_list(self) -> list[dict[str, Any]]:
        """Return all records as they go over HTTP."""
        return [record.as_dict() for record in [*self.records]]

    def _harmless(self, headers: Mapping[str, str]) -> dict[str, str]:
        verdicts = self._header_verdicts
        kept = {}
        for name, value in headers.items():
            harmless = verdicts.get(name)
            if harmless is None:
                lower = name.lower()
                harmless = verdicts[name] = not any(part in lower for part in _SECRET_PARTS)
            if harmless:
                kept[name] = value
        return kept
