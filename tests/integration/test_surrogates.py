"""Half an emoji, and NUL: whoever says them, no run ends by them and no provider is sent them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

import composite_llm
from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, Ask
from tests.support.streams import streamed_sync

HALF, NUL = "\ud83d", "\0"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ODD = {"text": f"A great idea {HALF}{NUL}"}
MENDED = "A great idea \ufffd"


@pytest.fixture(autouse=True)
def nobody_takes_them(server: ThreadedServer) -> Iterator[None]:
    """Every model refuses such text; what it was sent is looked at in the end."""
    server.set_scenario("*", {"rules": ["clean_text"]})
    yield
    for record in server.ledger.records:
        text = json.dumps(record.body, ensure_ascii=False)
        text.encode()
        assert NUL not in text
        assert "\\ud83d" not in text


def says(server: ThreadedServer, model: str, scenario: dict[str, Any]) -> None:
    server.set_scenario(model, {"rules": ["clean_text"], **scenario})


def trace_of(answer: Any) -> Trace:
    trace = composite_llm.get_trace(answer)
    assert Trace.model_validate_json(trace.model_dump_json()) == trace
    return trace


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_a_members_half_is_quoted_as_the_replacement_character(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    says(server, "gpt-4o-mini", ODD)
    if streams:
        trace = streamed_sync(server, proposers=[FIRST, SECOND]).trace
    else:
        trace = trace_of(ask(proposers=[FIRST, SECOND]))
    assert trace.degraded == []
    assert MENDED in str(wire.body(server, "gpt-4o")["messages"])


def test_no_breaker_notices_however_often_it_happens(ask: Ask, server: ThreadedServer) -> None:
    says(server, "gpt-4o-mini", ODD)
    for _ in range(6):
        assert trace_of(ask(proposers=[FIRST, SECOND])).degraded == []


def test_a_councils_reviews_and_votes_go_on(ask: Ask, server: ThreadedServer) -> None:
    for model in ("gpt-4o-mini", "gpt-4.1-mini"):
        review = {"reviews": {}, "ranking": ["Response B", "Response A"]}
        rule = {"contains": "reviewing", "then": {"text": json.dumps(review) + HALF, "rules": ["clean_text"]}}
        server.set_scenario(model, {**ODD, "rules": ["clean_text"], "by_content": [rule]})
    trace = trace_of(ask(COUNCIL, members=[FIRST, SECOND]))
    assert trace.error is None


def test_halves_that_stand_as_escapes_in_reviews_reach_neither_the_chairman_nor_the_trace(
    ask: Ask, server: ThreadedServer
) -> None:
    review = {"reviews": {f"Response {x}": f"Odd {HALF}{NUL} but fine." for x in "AB"}, "ranking": ["Response B", HALF]}
    for model in ("gpt-4o-mini", "gpt-4.1-mini"):
        rule = {"contains": "reviewing", "then": {"text": json.dumps(review), "rules": ["clean_text"]}}
        says(server, model, {"text": "An answer.", "by_content": [rule]})
    trace = trace_of(ask(COUNCIL, members=[FIRST, SECOND]))
    assert trace.error is None
    assert "Odd \ufffd but fine." in str(wire.body(server, "gpt-4o")["messages"])


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_a_half_in_a_providers_refusal(streams: bool, ask: Ask, server: ThreadedServer) -> None:
    body = json.dumps({"error": {"message": f"Field 'n' {HALF}: Value must be 1{NUL}", "code": 400}})
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400, "body": body}})
    if streams:
        trace = streamed_sync(server, proposers=[FIRST, SECOND]).trace
        Trace.model_validate_json(trace.model_dump_json())
    else:
        trace = trace_of(ask(proposers=[FIRST, SECOND]))
    (attempt,) = trace.calls[0].attempts
    assert attempt.provider_message == "Field 'n' \ufffd: Value must be 1"


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("n", [1, 2])
def test_a_final_answer_with_a_half_comes_and_its_trace_can_be_stored(
    n: int, streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    says(server, "gpt-4o", {"text": f"Yes {HALF}", "reasoning": f"hm {HALF}{NUL}", "chunk_chars": 1})
    if streams:
        done = streamed_sync(server, proposers=[FIRST], n=n)
        assert done.content == "Yes \ufffd"
        assert "hm \ufffd" in done.reasoning
        assert all(chunk.model_dump_json() for chunk in done.chunks)
        assert done.built.model_dump_json()
        Trace.model_validate_json(done.trace.model_dump_json())
    else:
        answer = ask(proposers=[FIRST], n=n)
        assert [choice.message.content for choice in answer.choices] == ["Yes \ufffd"] * n
        assert answer.model_dump_json()
        assert trace_of(answer).calls[-1].content == "Yes \ufffd"


@pytest.mark.parametrize("text", [FAMILY, "Ålesund é", "漢字", "🇳🇴 ❤️", f"{FAMILY}{FAMILY}"])
def test_whole_emoji_and_letters_stay_to_the_byte(text: str, ask: Ask, server: ThreadedServer) -> None:
    for model in ("gpt-4o", "gpt-4o-mini"):
        says(server, model, {"text": text, "chunk_chars": 1, "split_utf8": True})
    question = [{"role": "user", "content": text}]
    assert ask(proposers=[FIRST], messages=question).choices[0].message.content == text
    assert streamed_sync(server, proposers=[FIRST], messages=question).content == text
    assert [record.body["messages"] for record in wire.records(server, "gpt-4o-mini")] == [question] * 2


def test_a_pair_that_comes_in_two_chunks_is_one_emoji(server: ThreadedServer) -> None:
    events = [json.dumps(_chunk({"content": piece})) for piece in ("ok \ud83d", "\ude00", "!")]
    says(server, "gpt-4o", {"raw_events": [*events, json.dumps(_chunk({}, "stop"))]})
    assert streamed_sync(server, proposers=[FIRST]).content == "ok \U0001f600!"


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_a_half_beside_a_tool_call_in_its_arguments_and_in_its_result(
    streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    call = {"name": "weather", "arguments": '{"city": "Oslo \\ud83d"}'}
    says(server, "gpt-4o", {"says": [{"text": f"Looking {HALF}", "tool_calls": [call]}, {"text": "done"}]})
    given: list[str] = []

    def weather(city: str) -> str:
        given.append(city)
        return f"4 {HALF}{NUL}"

    options: dict[str, Any] = {"proposers": [FIRST], "tools": [WEATHER], "tool_executor": {"weather": weather}}
    if streams:
        done = streamed_sync(server, **options)
        content, trace = done.content, done.trace
        assert trace.model_dump_json()
    else:
        answer = ask(**options)
        content, trace = answer.choices[0].message.content, trace_of(answer)
    assert content == "Looking \ufffd\n\ndone"
    assert given == ["Oslo \ufffd"]
    (record,) = trace.tool_calls
    assert (record.arguments, record.result) == ({"city": "Oslo \ufffd"}, "4 \ufffd")


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_halves_in_names_and_arguments_of_calls_that_go_to_the_caller(
    streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    call = {"name": f"weather{HALF}", "arguments": f'{{"city": "Oslo {HALF}"}}', "id": "c1"}
    says(server, "gpt-4o", {"tool_calls": [call]})
    built: Any
    if streams:
        built = streamed_sync(server, proposers=[FIRST], tools=[WEATHER]).built
    else:
        built = ask(proposers=[FIRST], tools=[WEATHER])
    assert built.model_dump_json()
    (made,) = built.choices[0].message.tool_calls
    assert made.function.name == "weather\ufffd"
    assert json.loads(made.function.arguments) == {"city": "Oslo \ufffd"}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": "user", "content": "the file \udcff.txt: what is it?"}], id="question"),
        pytest.param([{"role": "user", "content": f"a{NUL}b{HALF}"}], id="NUL"),
        pytest.param(
            [{"role": "system", "content": f"Be {HALF}."}, {"role": "user", "content": "Hi."}], id="system prompt"
        ),
        pytest.param([{"role": "user", "content": [{"type": "text", "text": f"Hi {HALF}"}]}], id="part"),
        pytest.param([{"role": "user", "name": f"ann{HALF}", "content": "Hi."}], id="name"),
        pytest.param(
            [
                {"role": "user", "content": "Hi."},
                {
                    "role": "assistant",
                    "content": f"Let me {HALF}.",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "\\ud83d"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": f"4 {HALF}"},
            ],
            id="tool call and its result",
        ),
    ],
)
@pytest.mark.parametrize("model", [MOA, COUNCIL], ids=["moa", "council"])
def test_a_callers_halves_are_mended_on_a_copy(
    model: str, messages: list[dict[str, Any]], ask_both: Ask, server: ThreadedServer
) -> None:
    before = copy.deepcopy(messages)
    nodes = {"proposers": [FIRST]} if model == MOA else {"members": [FIRST, SECOND]}
    assert trace_of(ask_both(model, messages=messages, **nodes)).error is None
    assert messages == before
    sent = json.dumps(wire.body(server, "gpt-4o")["messages"], ensure_ascii=False)
    assert "\ufffd" in sent or "\\ufffd" in sent


def test_halves_in_tools_options_and_parameters_are_mended_too(ask: Ask, server: ThreadedServer) -> None:
    tool = copy.deepcopy(WEATHER)
    tool["function"]["description"] = f"The weather {HALF}"  # type: ignore[index]
    answer = ask(proposers=[FIRST, {"model": SECOND, "system": f"Be {HALF}."}], tools=[tool], stop=[f"end{HALF}"])
    assert trace_of(answer).error is None
    body = wire.body(server, "gpt-4o")
    assert (body["tools"][0]["function"]["description"], body["stop"]) == ("The weather \ufffd", ["end\ufffd"])
