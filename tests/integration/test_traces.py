"""What a run tells about itself: the trace, and the reasoning beside the answer."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask, at

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "self-moa": (MOA, {}),
    "council": (COUNCIL, {"members": [FIRST, SECOND, THIRD]}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trace_survives_json(shape: str, ask_both: Ask) -> None:
    model, options = SHAPES[shape]
    trace = composite_llm.get_trace(ask_both(model, **options))
    assert composite_llm.Trace.model_validate_json(trace.model_dump_json()) == trace


def test_a_trace_says_who_did_what_and_when(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "First.", "latency_s": 0.1})
    before = datetime.now(UTC)
    trace = composite_llm.get_trace(ask_both(proposers=[{"model": FIRST, "name": "ada"}]))
    assert before <= trace.started_at <= datetime.now(UTC)
    assert trace.started_at.utcoffset() == timedelta(0)
    assert (trace.strategy, trace.model, trace.degraded, trace.error) == ("moa", MOA, [], None)
    first, last = trace.calls
    assert (first.stage, first.role, first.name, first.model) == ("propose", "proposer", "ada", FIRST)
    assert (last.stage, last.role, last.name, last.model) == ("aggregate", "aggregator", FINAL, FINAL)
    assert (first.status, first.content, first.parent_id) == ("ok", "First.", None)
    assert first.id != last.id
    assert 0 <= first.start_s < last.start_s
    assert 0.1 <= first.duration_s <= trace.duration_s
    assert len(first.attempts) == 1
    assert first.attempts[0].endpoint == server.base_url.removeprefix("http://").removesuffix("/v1")


def test_a_retry_and_a_fallback_are_told_in_order(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 429, "retry_after": 0}})
    node = {"model": FIRST, "num_retries": 1, "fallbacks": [SECOND]}
    trace = composite_llm.get_trace(ask_both(proposers=[node]))
    call = trace.calls[0]
    assert (call.status, call.model) == ("ok", SECOND)
    assert [(attempt.model, attempt.status, attempt.status_code) for attempt in call.attempts] == [
        (FIRST, "failed", 429),
        (FIRST, "failed", 429),
        (SECOND, "ok", None),
    ]
    assert str(call.attempts[0].next_step).startswith("retry after 0")


def test_a_member_without_time_is_timed_out(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"hang": True})
    slow = {"model": FIRST, "timeout": 0.2, "num_retries": 0}
    trace = composite_llm.get_trace(ask_both(proposers=[slow, SECOND]))
    assert [call.status for call in trace.calls] == ["timed_out", "ok", "ok"]
    assert len(trace.degraded) == 1


def test_a_straggler_is_abandoned_after_its_grace(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"hang": True})
    answer = ask_both(proposers=[FIRST, SECOND], straggler_grace_s=0.05)
    trace = composite_llm.get_trace(answer)
    assert [call.status for call in trace.calls] == ["abandoned", "ok", "ok"]
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert server.ledger.records[0].disconnected or server.ledger.records[1].disconnected


def test_nested_calls_stand_below_their_parents(ask_both: Ask, server: ThreadedServer) -> None:
    inner = at(server, f"composite/moa/{SECOND}", proposers=[THIRD], name="inner")
    trace = composite_llm.get_trace(ask_both(proposers=[inner]))
    (top,) = [call for call in trace.calls if call.name == "inner"]
    assert {call.parent_id for call in trace.calls} == {None, top.id}
    assert top.usage.total_tokens == 0
    assert sum(call.usage.total_tokens for call in trace.calls) == trace.usage.total_tokens


def test_only_what_a_composite_answered_has_a_trace(server: ThreadedServer) -> None:
    plain = litellm.completion(model=FINAL, messages=MESSAGES, api_base=server.base_url, api_key=KEY)
    with pytest.raises(ValueError, match="no composite trace on this ModelResponse"):
        composite_llm.get_trace(plain)


def test_a_trace_stays_with_a_copy_of_the_response(ask: Ask) -> None:
    answer = ask(proposers=[FIRST])
    assert composite_llm.get_trace(copy.deepcopy(answer)).id == composite_llm.get_trace(answer).id


def test_a_response_is_plain_json(ask: Ask) -> None:
    answer = ask(proposers=[FIRST])
    again: Any = litellm.ModelResponse.model_validate_json(answer.model_dump_json())
    assert again.choices[0].message.content == answer.choices[0].message.content
    assert again.usage.total_tokens == answer.usage.total_tokens


@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_of_a_response_is_the_string_that_was_asked_for(shape: str, ask_both: Ask) -> None:
    model, options = SHAPES[shape]
    assert ask_both(model, **options).model == model


def test_the_summary_has_a_section_for_each_stage_in_configuration_order(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "SLOW ANSWER", "latency_s": 0.15})
    server.set_scenario("gpt-4.1-nano", {"error": {"status": 400}})
    answer = ask_both(proposers=[FIRST, SECOND, THIRD], layers=2)
    shown = answer.choices[0].message.reasoning_content
    places = [shown.index(heading) for heading in ("Proposals\n", "Proposals, layer 2\n", "Aggregation\n", "Total: ")]
    assert places == sorted(places)
    section = shown[places[0] : places[1]]
    assert section.index(FIRST) < section.index(SECOND) < section.index(THIRD)
    assert f"✗ {THIRD}" in section
    assert "tokens, $0.0" in section
    assert "SLOW ANSWER" not in shown
    assert "7 calls" in shown


def test_the_full_reasoning_quotes_every_answer(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "SLOW ANSWER"})
    server.set_scenario("gpt-4o", {"text": "The answer."})
    shown = ask_both(proposers=[FIRST], reasoning="full").choices[0].message.reasoning_content
    assert f"{FIRST} wrote:\nSLOW ANSWER" in shown
    assert "The answer." not in shown


def test_no_reasoning_on_demand(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "The answer.", "reasoning": "Secret."})
    answer = ask_both(proposers=[FIRST], reasoning="off")
    assert getattr(answer.choices[0].message, "reasoning_content", None) is None
    assert "Secret." not in answer.model_dump_json()
    assert composite_llm.get_trace(answer).calls


@pytest.mark.parametrize("reasoning", ["summary", "full"])
def test_the_final_models_own_reasoning_comes_last_under_its_heading(
    reasoning: str, ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": "The answer.", "reasoning": "I pondered."})
    shown = ask_both(proposers=[FIRST], reasoning=reasoning).choices[0].message.reasoning_content
    assert shown.endswith("The final model's own reasoning\nI pondered.")
    assert shown.index("Total: ") < shown.index("I pondered.")


def test_a_composites_answer_may_go_back_into_the_conversation(ask: Ask, server: ThreadedServer) -> None:
    first = ask(proposers=[FIRST])
    ask(messages=[*MESSAGES, first.choices[0].message, {"role": "user", "content": "And now?"}], proposers=[FIRST])
    assert all("Total: " not in str(record.body) for record in server.ledger.records)
    assert all("reasoning_content" not in str(record.body) for record in server.ledger.records)


def test_a_degraded_answer_says_so_by_machine_too(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    answer = ask_both(proposers=[FIRST, SECOND])
    fields = answer.choices[0].message.provider_specific_fields
    assert fields["composite"]["degraded"] == composite_llm.get_trace(answer).degraded != []


def test_what_the_upstream_added_is_passed_on(ask_both: Ask, server: ThreadedServer) -> None:
    assert server.ledger.records == []
    assert ask_both(proposers=[FIRST]).system_fingerprint == "fp_fake"
