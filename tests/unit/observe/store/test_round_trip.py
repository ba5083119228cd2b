from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from composite_llm import TraceStore
from composite_llm.model.masking import masked
from composite_llm.model.trace import Trace
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from tests.support.telling import a_call, a_trace, tell
from tests.support.traces import TRACES


@pytest.fixture(scope="module")
def full() -> Iterator[StoreObserver]:
    with tempfile.TemporaryDirectory() as directory:
        observer = StoreObserver(
            TelemetrySettings(path=Path(directory) / "traces.db", privacy="full", max_age_days=None)
        )
        yield observer
        observer.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(trace=TRACES)
def test_a_trace_comes_back_whole_in_full_mode(full: StoreObserver, trace: Trace) -> None:
    arguments = [call.arguments for call in trace.tool_calls]
    # An argument that is named like a secret is masked; that has its own test.
    assume(json.dumps(masked(arguments)) == json.dumps(arguments))
    # Hypothesis uses ids again, runs do not.
    trace = trace.model_copy(update={"id": uuid.uuid4().hex})
    tell(full, trace)
    assert full.flush()
    assert TraceStore(full.settings.path).trace(trace.id) == trace


def test_half_a_surrogate_pair_is_replaced_and_loses_nothing_else(observer: StoreObserver, store: TraceStore) -> None:
    odd = tell(
        observer, a_trace([a_call(1, name="half \ud83d of it"), a_call(2)], error="no \udc00"), {"user_id": "\ud800"}
    )
    other = tell(observer, a_trace())
    assert observer.flush()
    assert [call.name for call in store.calls(odd.id)] == ["half ? of it", "openai/gpt-4o"]
    assert (store.run(odd.id).error, store.run(odd.id).user) == ("no ?", "?")
    assert store.run(other.id).status == "ok"


def test_a_run_that_no_file_could_hold_takes_no_other_with_it(
    observer: StoreObserver, store: TraceStore, caplog: pytest.LogCaptureFixture
) -> None:
    call = a_call()
    huge = call.usage.model_copy(update={"prompt_tokens": 2**70})
    lost = tell(observer, a_trace([call.model_copy(update={"usage": huge})]))
    other = tell(observer, a_trace())
    assert observer.flush()
    assert store.run(other.id).calls == 1
    assert f"run {lost.id} could not be kept (OverflowError)" in caplog.text
