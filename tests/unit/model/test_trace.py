"""Former names of a trace's figures."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from composite_llm.model.trace import Attempt, Call, Trace

CUT_OFF = Attempt(model="openai/a", start_s=0, duration_s=1, status="abandoned")


def _trace(*attempts: Attempt) -> Trace:
    call = Call(
        id="1",
        stage="propose",
        role="proposer",
        name="a",
        model="openai/a",
        start_s=0,
        duration_s=1,
        status="abandoned",
        attempts=list(attempts),
    )
    started = datetime(2026, 1, 1, tzinfo=UTC)
    return Trace(id="r", strategy="moa", model="composite/moa/openai/a", started_at=started, duration_s=1, calls=[call])


def test_the_former_names_of_attempts_without_usage_still_answer_and_warn() -> None:
    trace = _trace(CUT_OFF, CUT_OFF)
    with pytest.warns(DeprecationWarning, match="attempts_without_usage"):
        assert trace.untold_attempts == trace.attempts_without_usage == 2
    with pytest.warns(DeprecationWarning, match="without_usage"):
        assert CUT_OFF.untold is CUT_OFF.without_usage is True
