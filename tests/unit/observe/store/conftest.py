from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from composite_llm import TraceStore
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


@pytest.fixture
def store(path: Path) -> TraceStore:
    return TraceStore(path)


@pytest.fixture
def observer(path: Path) -> Iterator[StoreObserver]:
    made = StoreObserver(TelemetrySettings(path=path))
    yield made
    made.close()
