from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.model.structured_text import Degradation, NextStep, NextStepKind
from composite_llm.model.trace import Attempt, Call, Trace

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
degradations = st.builds(
    Degradation,
    st.sampled_from(["member_missing", "member_truncated", "final_failed", "something_new"]),
    texts,
    stage=st.none() | texts,
    member=st.none() | texts,
)
steps = st.builds(
    NextStep,
    st.sampled_from(["retry", "other_form", "hedge", "give_up", "unknown"]),
    delay_s=st.none() | st.floats(0, 1e6),
    reason=st.none() | texts,
)


def a_trace(**values: Any) -> Trace:
    return Trace(id="t", strategy="moa", model="composite/moa/a", started_at=datetime.now(UTC), duration_s=1, **values)


@pytest.mark.parametrize(
    ("degradation", "text"),
    [
        (Degradation("member_missing", "down", stage="propose", member="a"), "member_missing: propose: a (down)"),
        (
            Degradation("member_truncated", "ran out", stage="propose", member="a"),
            "member_truncated: propose: a ran out",
        ),
        (Degradation("fallback_used", "b asked", stage="aggregate", member="a"), "fallback_used: a: b asked"),
        (Degradation("review_abstained", stage="review", member="r"), "review_abstained: r"),
        (Degradation("budget_reduced", "no reviews", stage="review"), "budget_reduced: no reviews"),
        (Degradation("final_failed", "failed", stage="aggregate", member="a"), "final_failed: a failed"),
    ],
)
def test_a_degradation_is_text_made_of_its_fields(degradation: Degradation, text: str) -> None:
    assert degradation == text
    assert degradation.startswith(f"{degradation.code}: ")
    assert f"{degradation.code}: {degradation.clause}" == text


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (NextStep("retry", delay_s=3), "retry after 3.0 s"),
        (NextStep("hedge", delay_s=0.05), "hedged after 0.05 s"),
        (NextStep("other_form", reason="with shorter answers"), "asked again with shorter answers"),
        (NextStep("give_up", reason="no retries left"), "given up: no retries left"),
    ],
)
def test_a_next_step_is_text_made_of_its_fields(step: NextStep, text: str) -> None:
    assert step == text


@given(st.lists(degradations, max_size=3), st.none() | steps)
def test_a_trace_with_them_is_read_back_equal_with_every_field(
    degraded: list[Degradation], step: NextStep | None
) -> None:
    attempt = Attempt(model="a", start_s=0, duration_s=1, status="failed", next_step=step)
    call = Call(
        id="c", stage="s", role="r", name="a", model="a", start_s=0, duration_s=1, status="failed", attempts=[attempt]
    )
    trace = a_trace(degraded=degraded, calls=[call])
    for again in (Trace.model_validate_json(trace.model_dump_json()), Trace.model_validate(trace.model_dump())):
        assert again == trace
        assert [reason.fields for reason in again.degraded] == [reason.fields for reason in degraded]
        back = again.calls[0].attempts[0].next_step
        assert (back and back.fields) == (step and step.fields)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_keep_their_fields(copied: Any) -> None:
    degradation = Degradation("member_missing", "down", stage="propose", member="a")
    assert copied(degradation).fields == degradation.fields


def test_what_an_earlier_release_stored_as_text_alone_is_read() -> None:
    trace = a_trace(degraded=["context_cut: a: 2 answers cut", "odd"])
    assert [(reason, reason.code, reason.member) for reason in trace.degraded] == [
        ("context_cut: a: 2 answers cut", "context_cut", None),
        ("odd: ", "odd", None),
    ]
    attempt = Attempt(model="a", start_s=0, duration_s=1, status="failed", next_step="retry after 1.0 s")
    assert attempt.next_step is not None
    assert (attempt.next_step, attempt.next_step.kind) == ("retry after 1.0 s", "unknown")


def test_its_free_texts_can_be_changed_and_its_code_stays() -> None:
    degradation = Degradation("member_missing", "a is down", stage="a", member="a").changed(lambda text: text.upper())
    assert degradation.fields.model_dump() == {
        "code": "member_missing",
        "stage": "a",
        "member": "A",
        "detail": "A IS DOWN",
    }


@pytest.mark.parametrize(
    ("values", "status", "ending"),
    [
        ({}, "ok", "ok"),
        ({"degraded": [Degradation("x", "y")]}, "degraded", "ok"),
        ({"error": "no", "degraded": [Degradation("x", "y")]}, "failed", "failed"),
        ({"error": "cancelled"}, "cancelled", "cancelled"),
        ({"status": "cancelled"}, "cancelled", "cancelled"),
    ],
)
def test_a_trace_says_how_the_run_ended(values: dict[str, Any], status: str, ending: str) -> None:
    trace = a_trace(**values)
    assert (trace.status, trace.ending) == (status, ending)
    assert Trace.model_validate_json(trace.model_dump_json()).status == status


def test_a_step_of_an_unknown_kind_is_refused() -> None:
    kind: NextStepKind = "retry"
    with pytest.raises(ValueError, match="kind"):
        Attempt.model_validate(
            {"model": "a", "start_s": 0, "duration_s": 1, "status": "ok", "next_step": {"kind": f"{kind}x"}}
        )
