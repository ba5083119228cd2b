"""Models whose servers leave their thoughts in the answer: nobody takes them for what was answered."""

from __future__ import annotations

from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, SECOND, Ask
from tests.support.streams import streamed, streamed_sync
from tests.unit.backend.test_inline_reasoning import ANSWER, FORMS, HM, NO_THOUGHTS, UNOPENED, named

CUT_OFF = ["<think>\nFirst I have to see whether", "[THINK]First", "<|channel|>analysis<|message|>First I"]


def shown_to_final(server: ThreadedServer) -> str:
    return str(wire.records(server, "gpt-4o")[-1].body["messages"])


@named({**FORMS, **UNOPENED})
def test_the_aggregator_reads_a_members_answer_without_its_thoughts(
    text: str, ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"text": text})
    answer = ask_both(proposers=[FIRST, SECOND])
    shown = shown_to_final(server)
    assert f"\\n{ANSWER}\\n" in shown
    assert HM not in shown
    trace = composite_llm.get_trace(answer)
    assert trace.degraded == []
    assert next(call for call in trace.calls if call.model == FIRST).content == ANSWER


def test_reviewers_and_chairman_read_no_thoughts_either(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario(
        "gpt-4o-mini", {"by_content": [{"contains": "ranking", "then": {"text": "none"}}], "text": FORMS["think"]}
    )
    ask(COUNCIL, members=[FIRST, SECOND])
    assert ANSWER in shown_to_final(server)
    assert all(HM not in str(record.body) for record in server.ledger.records)


@named({name: text for name, text in NO_THOUGHTS.items() if text.strip()})
def test_a_member_that_speaks_of_such_marks_is_quoted_whole(text: str, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": text})
    answer = ask(proposers=[FIRST])
    assert text in wire.records(server, "gpt-4o")[-1].body["messages"][-1]["content"]
    assert composite_llm.get_trace(answer).calls[0].content == text


@pytest.mark.parametrize("finish_reason", ["length", "stop"])
@pytest.mark.parametrize("text", CUT_OFF)
def test_a_member_that_is_cut_off_within_its_thoughts_has_given_no_answer(
    text: str, finish_reason: str, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"text": text, "finish_reason": finish_reason})
    trace = composite_llm.get_trace(ask(proposers=[{"model": FIRST, "num_retries": 0}, SECOND]))
    assert "First" not in shown_to_final(server)
    assert [reason for reason in trace.degraded if reason.startswith("member_missing")]
    assert trace.calls[0].status == "failed"


@named(FORMS)
@pytest.mark.parametrize("size", [3, 7, 1000])
def test_a_streamed_answer_is_that_of_the_plain_call_and_its_thoughts_are_reasoning(
    text: str, size: int, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": text, "chunk_chars": size})
    plain: Any = ask(proposers=[FIRST]).choices[0].message
    done = streamed_sync(server, proposers=[FIRST])
    assert done.content == plain.content == ANSWER
    for reasoning in (plain.reasoning_content, done.reasoning):
        own = reasoning.partition("The final model's own reasoning\n")[2]
        assert HM in own
    assert done.finish_reasons == {0: "stop"}


async def test_async_streams_are_cleaned_as_well(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": FORMS["blank line before"], "chunk_chars": [1, 5, 2]})
    done = await streamed(server, proposers=[FIRST])
    assert done.content == done.built.choices[0].message.content == ANSWER
    assert done.trace.calls[-1].content == ANSWER


@pytest.mark.parametrize("reasoning", ["off", "full"])
def test_hidden_reasoning_stays_hidden_and_full_reasoning_is_whole(reasoning: str, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": FORMS["think"], "chunk_chars": 3})
    done = streamed_sync(server, proposers=[FIRST], reasoning=reasoning)
    assert done.content == ANSWER
    assert (HM in done.reasoning) is (reasoning == "full")


def test_an_answer_without_thoughts_comes_piece_by_piece(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": ANSWER, "chunk_chars": 3})
    done = streamed_sync(server, proposers=[FIRST])
    pieces = [
        chunk.choices[0].delta.content for chunk in done.chunks if chunk.choices and chunk.choices[0].delta.content
    ]
    assert pieces == ["It ", "is ", "42."]


@named({"unopened": UNOPENED["own line"]})
def test_thoughts_that_nothing_marks_are_learnt_from_one_stream_and_kept_out_of_the_next(
    text: str, server: ThreadedServer
) -> None:
    # Models say the mark in one token.
    server.set_scenario("learns", {"text": text, "chunk_chars": [len(HM) + 1, len("</think>"), 4]})
    model = "composite/moa/openai/learns"
    first = streamed_sync(server, model, proposers=[FIRST])
    assert first.content.endswith(ANSWER)
    second = streamed_sync(server, model, proposers=[FIRST])
    assert second.content == ANSWER
    assert HM in second.reasoning
    server.set_scenario("learns", {"text": "No thoughts now.", "chunk_chars": 5})
    assert [streamed_sync(server, model, proposers=[FIRST]).content for _ in range(2)] == ["No thoughts now."] * 2


def test_a_plain_answer_teaches_streams_too(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("teaches", {"text": UNOPENED["own line"], "chunk_chars": 5})
    model = "composite/moa/openai/teaches"
    assert ask(model, proposers=[FIRST]).choices[0].message.content == ANSWER
    assert streamed_sync(server, model, proposers=[FIRST]).content == ANSWER


def test_reasoning_that_the_server_tells_apart_is_left_as_it_is(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "\n\nYes, `<think>` too.", "reasoning": " hm \n", "chunk_chars": 3})
    plain: Any = ask(proposers=[FIRST]).choices[0].message
    done = streamed_sync(server, proposers=[FIRST])
    assert done.content == plain.content == "Yes, `<think>` too."
    assert plain.reasoning_content.endswith("own reasoning\n hm \n")
