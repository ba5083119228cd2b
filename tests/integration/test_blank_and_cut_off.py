"""Answers that say nothing are asked for once more; answers that a token limit ended are told to whoever reads them."""

from __future__ import annotations

from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, Ask
from tests.support.streams import streamed_sync

NOTHING = [
    pytest.param({"blank": True}, id="blank"),
    pytest.param({"blank": True, "reasoning": "it is 42"}, id="only reasoning"),
    pytest.param({"text": " \n\t"}, id="white space"),
    pytest.param({"text": "<think>it is 42</think>"}, id="only thoughts"),
    pytest.param({"text": "<think>it is"}, id="thoughts without an end"),
]
BOTH = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
SENTENCE = "Step 1: open the valve. Step 2: before anything else make sure that you never"


def codes(trace: composite_llm.Trace) -> list[str]:
    return trace.degraded_codes


def asked(streams: bool, ask: Ask, server: ThreadedServer, **options: Any) -> tuple[str | None, composite_llm.Trace]:
    if streams:
        done = streamed_sync(server, **options)
        return done.content, done.trace
    answer = ask(**options)
    return answer.choices[0].message.content, composite_llm.get_trace(answer)


@BOTH
@pytest.mark.parametrize("nothing", NOTHING)
def test_a_final_model_that_says_nothing_is_asked_once_more(
    nothing: dict[str, Any], streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"sequence": [nothing, {"text": "42"}]})
    content, trace = asked(streams, ask, server, proposers=[FIRST])
    assert content == "42"
    assert len(wire.records(server, "gpt-4o")) == 2
    assert trace.degraded == []
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"]


@pytest.mark.parametrize("nothing", NOTHING)
def test_so_is_a_member(nothing: dict[str, Any], ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"sequence": [nothing, {"text": "42"}]})
    trace = composite_llm.get_trace(ask(proposers=[FIRST]))
    assert len(wire.records(server, "gpt-4o-mini")) == 2
    assert (trace.calls[0].content, trace.degraded) == ("42", [])
    assert [attempt.status for attempt in trace.calls[0].attempts] == ["failed", "ok"]


@BOTH
def test_once_and_not_as_often_as_the_retries_allow(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"blank": True})
    content, trace = asked(streams, ask, server, proposers=[FIRST], aggregator={"num_retries": 5})
    assert not content
    assert len(wire.records(server, "gpt-4o")) == 2
    assert codes(trace) == ["final_unusable"]


@BOTH
def test_without_retries_there_is_one_request_and_fallbacks_come_next(
    streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"blank": True})
    aggregator = {"num_retries": 0, "fallbacks": [SECOND]}
    server.set_scenario("gpt-4.1-mini", {"text": "from the fallback"})
    content, trace = asked(streams, ask, server, proposers=[FIRST], aggregator=aggregator)
    assert content == "from the fallback"
    assert len(wire.records(server, "gpt-4o")) == 1
    assert codes(trace) == ["fallback_used"]


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_what_a_limit_or_a_filter_ended_is_not_asked_for_again(
    finish_reason: str, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"blank": True, "finish_reason": finish_reason})
    composite_llm.get_trace(ask(proposers=[FIRST, SECOND]))
    assert len(wire.records(server, "gpt-4o-mini")) == 1


@BOTH
@pytest.mark.parametrize("model", [MOA, COUNCIL], ids=["moa", "council"])
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
@pytest.mark.parametrize("nothing", NOTHING)
def test_the_best_answer_replaces_a_final_one_that_says_nothing(
    nothing: dict[str, Any], finish_reason: str, model: str, streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {**nothing, "finish_reason": finish_reason})
    server.set_scenario("gpt-4o-mini", {"text": "good advice"})
    server.set_scenario("gpt-4.1-mini", {"text": "good advice"})
    final, members = ("aggregator", "proposers") if model == MOA else ("chairman", "members")
    options = {final: {"num_retries": 0}, members: [FIRST, SECOND], "on_final_failure": "best"}
    content, trace = asked(streams, ask, server, model=model, **options)
    assert content == "good advice"
    assert "final_failed" in codes(trace)


@BOTH
def test_without_that_option_a_blank_answer_comes_as_it_is(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"blank": True})
    content, trace = asked(streams, ask, server, proposers=[FIRST])
    assert not content
    assert codes(trace) == ["final_unusable"]


@BOTH
def test_a_cut_off_answer_is_quoted_as_one(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    _, trace = asked(streams, ask, server, proposers=[FIRST, SECOND])
    note = wire.body(server, "gpt-4o")["messages"][-1]["content"]
    assert "[Response 1 was cut off" in note
    assert "[Response 2 was cut off" not in note
    assert trace.degraded == [f"member_truncated: propose: {FIRST} ran out of tokens"]
    assert [call.cut_off for call in trace.calls] == [True, False, False]


def test_the_mark_stands_outside_the_fence_where_no_member_can_write_it(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    ask(proposers=[FIRST])
    note = wire.body(server, "gpt-4o")["messages"][-1]["content"]
    assert note.index("<<<end of Response 1") < note.index("[Response 1 was cut off")


def test_the_same_text_that_ended_by_itself_is_not_marked(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "stop"})
    answer = ask(proposers=[FIRST])
    assert "cut off" not in wire.body(server, "gpt-4o")["messages"][-1]["content"]
    assert composite_llm.get_trace(answer).degraded == []


def test_further_layers_reviewers_and_chairman_are_told_too(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    ask(proposers=[FIRST, SECOND], layers=2)
    second_layer = wire.records(server, "gpt-4.1-mini")[1].body["messages"][-1]["content"]
    assert "[Response 1 was cut off" in second_layer
    server.ledger.clear()
    ask(COUNCIL, members=[FIRST, SECOND], reviewers=["openai/gpt-4.1-nano"])
    review = wire.body(server, "gpt-4.1-nano")["messages"][-1]["content"]
    assert review.count("was cut off") == 1
    assert "[Response A was cut off" in wire.body(server, "gpt-4o")["messages"][-1]["content"]


def test_the_published_form_tells_it_as_well(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    ask(proposers=[FIRST, SECOND], reference_placement="system")
    assert f"1. {SENTENCE} [cut off here" in wire.body(server, "gpt-4o")["messages"][0]["content"]


@BOTH
def test_the_summary_says_which_answer_was_cut_off(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    if streams:
        shown = streamed_sync(server, proposers=[FIRST, SECOND]).reasoning
    else:
        shown = ask(proposers=[FIRST, SECOND]).choices[0].message.reasoning_content
    (line,) = [line for line in shown.splitlines() if line.startswith(f"✓ {FIRST}")]
    assert line.endswith("cut off by its token limit")
    assert "member_truncated" in shown


def test_a_tool_step_that_uses_the_answers_again_tells_it_again(ask: Ask, server: ThreadedServer) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    server.set_scenario("gpt-4o-mini", {"text": SENTENCE, "finish_reason": "length"})
    question = {"role": "user", "content": "How do I open it?"}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    step = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    for messages in ([question], [question, *step]):
        trace = composite_llm.get_trace(ask(proposers=[FIRST], tools=[tool], messages=messages))
        assert codes(trace) == ["member_truncated"]
    notes = [str(record.body["messages"]) for record in wire.records(server, "gpt-4o")]
    assert all("[Response 1 was cut off" in note for note in notes)
    assert len(wire.records(server, "gpt-4o-mini")) == 1
