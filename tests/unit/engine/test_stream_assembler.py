from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.interface import Choice, ChoiceDelta, Chunk, Reply
from composite_llm.engine.stream_assembler import StreamAssembler
from composite_llm.model.usage import NO_USAGE, Usage

Delta = dict[str, Any]


def assembled(*deltas: Delta, finish_reason: str | None = None) -> Choice:
    assembler = StreamAssembler()
    for delta in deltas:
        assembler.add(Chunk((ChoiceDelta(0, delta),)))
    if finish_reason:
        assembler.add(Chunk((ChoiceDelta(0, {}, finish_reason),)))
    return assembler.reply().choices[0]


def tool(index: int | None, id_: str | None = None, name: str | None = None, arguments: str | None = None) -> Delta:
    call: Delta = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        call["index"] = index
    if id_ is not None:
        call |= {"id": id_, "type": "function"}
    return {"tool_calls": [call]}


def whole(id_: str, name: str, arguments: str) -> Delta:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


@st.composite
def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def _choice_deltas(draw: st.DrawFn, index: int, with_index: bool) -> tuple[Choice, list[ChoiceDelta]]:
    text = draw(st.text(alphabet="ab é🙂", max_size=12))
    reasoning = draw(st.text(alphabet="xy", max_size=8))
    arguments = draw(st.lists(st.text(alphabet='{}":1', min_size=1, max_size=8), max_size=3))
    tokens = [{"token": character, "logprob": -0.5} for character in text]
    message: Delta = {"role": "assistant", "content": text or None}
    deltas = [ChoiceDelta(index, {"role": "assistant"})]
    if reasoning:
        message["reasoning_content"] = reasoning
        deltas += [ChoiceDelta(index, {"reasoning_content": piece}) for piece in draw(_cut(reasoning))]
    if text:
        seen = 0
        for piece in draw(_cut(text)):
            logprobs = {"content": tokens[seen : seen + len(piece)]}
            seen += len(piece)
            deltas.append(ChoiceDelta(index, {"content": piece}, logprobs=logprobs))
    if arguments:
        message["tool_calls"] = [whole(f"c{at}", f"f{at}", value) for at, value in enumerate(arguments)]
    for at, value in enumerate(arguments):
        place = at if with_index else None
        deltas.append(ChoiceDelta(index, tool(place, f"c{at}", f"f{at}", "")))
        deltas += [ChoiceDelta(index, tool(place, None, None, piece)) for piece in draw(_cut(value))]
    finish = "tool_calls" if arguments else "stop"
    deltas.append(ChoiceDelta(index, {}, finish))
    return Choice(index, message, finish, {"content": tokens} if text else None), deltas


@given(st.data(), st.sampled_from([1, 2]), st.booleans())
def test_any_split_of_a_stream_gives_the_same_reply(data: st.DataObject, n: int, with_index: bool) -> None:
    drawn = [data.draw(_choice_deltas(index, with_index)) for index in range(n)]
    queues = [list(deltas) for _, deltas in drawn]
    assembler = StreamAssembler("m")
    while waiting := [queue for queue in queues if queue]:
        together = data.draw(st.booleans())
        chosen = waiting if together else [data.draw(st.sampled_from(waiting))]
        assembler.add(Chunk(tuple(queue.pop(0) for queue in chosen)))
    usage = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    assembler.add(Chunk((), usage=usage, cost_usd=0.5, extra={"system_fingerprint": "fp"}))
    choices = tuple(choice for choice, _ in drawn)
    assert assembler.reply() == Reply(choices, usage, 0.5, "m", {"system_fingerprint": "fp"})


def test_nothing_received_is_an_empty_reply() -> None:
    reply = StreamAssembler("m").reply()
    assert reply.choices == (Choice(0, {"role": "assistant", "content": None}, None),)
    assert (reply.usage, reply.cost_usd) == (NO_USAGE, None)


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        pytest.param(
            [tool(0, "c0", "f", '{"a"'), tool(0, None, None, ": 1}")],
            [whole("c0", "f", '{"a": 1}')],
            id="arguments-in-pieces",
        ),
        pytest.param(
            [tool(0, "c0", "f", "{"), tool(1, "c1", "g", "["), tool(0, None, None, "}"), tool(1, None, None, "]")],
            [whole("c0", "f", "{}"), whole("c1", "g", "[]")],
            id="interleaved",
        ),
        pytest.param(
            [tool(None, "c0", "f", "{}"), tool(None, "c1", "g", "[]")],
            [whole("c0", "f", "{}"), whole("c1", "g", "[]")],
            id="whole-calls-without-an-index",
        ),
        pytest.param(
            [tool(None, "c0", "f", "{"), tool(None, None, None, "}")],
            [whole("c0", "f", "{}")],
            id="continued-without-index-and-id",
        ),
        pytest.param(
            [tool(None, "c0", "f", "{"), tool(None, "c0", None, "}")],
            [whole("c0", "f", "{}")],
            id="continued-without-index-by-the-same-id",
        ),
        pytest.param(
            [tool(3, "c3", "g", "{}"), tool(1, "c1", "f", "{}")],
            [whole("c1", "f", "{}"), whole("c3", "g", "{}")],
            id="gaps-in-the-index",
        ),
        pytest.param([tool(0, "c0", "f"), tool(0, "c0", "f", "{}")], [whole("c0", "f", "{}")], id="name-repeated"),
        pytest.param(
            [{"tool_calls": [{"index": 0, "id": "c0", "provider_field": "kept"}]}],
            [{**whole("c0", "", ""), "provider_field": "kept"}],
            id="a-field-of-the-providers-own",
        ),
    ],
)
def test_tool_calls_are_put_together(deltas: list[Delta], calls: list[Delta]) -> None:
    assert assembled(*deltas).message["tool_calls"] == calls


def test_an_older_function_call_is_put_together() -> None:
    choice = assembled(
        {"function_call": {"name": "f", "arguments": '{"a"'}},
        {"function_call": {"arguments": ": 1}"}},
        finish_reason="function_call",
    )
    assert choice.message["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert choice.finish_reason == "function_call"


def test_lists_are_appended_and_mappings_merged() -> None:
    message = assembled(
        {"annotations": [1], "provider_specific_fields": {"a": 1}, "audio": {"id": "x", "data": "AA"}},
        {"annotations": [2], "provider_specific_fields": {"b": 2}, "audio": {"data": "BB", "transcript": "hi"}},
        {"odd": 1},
        {"odd": 2, "content": None, "role": "assistant"},
    ).message
    assert message == {
        "role": "assistant",
        "content": None,
        "annotations": [1, 2],
        "provider_specific_fields": {"a": 1, "b": 2},
        "audio": {"id": "x", "data": "AABB", "transcript": "hi"},
        "odd": 2,
    }


@pytest.mark.parametrize(
    ("delta", "started"),
    [
        pytest.param({"role": "assistant"}, False, id="role"),
        pytest.param({"content": ""}, False, id="empty-content"),
        pytest.param({"reasoning_content": "hm"}, False, id="reasoning"),
        pytest.param({"content": "a"}, True, id="content"),
        pytest.param({"refusal": "no"}, True, id="refusal"),
        pytest.param(tool(0, "c0", "f", ""), True, id="tool-call"),
        pytest.param({"function_call": {"name": "f"}}, True, id="function-call"),
        pytest.param({"audio": {"data": "A"}}, True, id="audio"),
    ],
)
def test_an_answer_has_started_when_something_of_it_was_seen(delta: Delta, started: bool) -> None:
    assembler = StreamAssembler()
    assembler.add(Chunk((ChoiceDelta(0, delta),)))
    assert assembler.answer_started is started


@pytest.mark.parametrize(
    ("deltas", "chars"),
    [
        pytest.param([{"content": "ab"}, {"content": "c"}], 3, id="content"),
        pytest.param([{"reasoning_content": "abc"}], 0, id="reasoning-is-no-answer"),
        pytest.param([tool(0, "c0", "f", '{"a"'), tool(0, None, None, ":1}")], 8, id="tool-name-and-arguments"),
        pytest.param([tool(0, "c0", "look_up", "")], 7, id="tool-name"),
        pytest.param([{"function_call": {"name": "f", "arguments": "{}"}}], 3, id="function-call"),
        pytest.param([{"refusal": "no"}], 2, id="refusal"),
    ],
)
def test_characters_of_the_answer_are_counted(deltas: list[Delta], chars: int) -> None:
    assembler = StreamAssembler()
    for delta in deltas:
        assembler.add(Chunk((ChoiceDelta(0, delta),)))
    assert assembler.received_chars == chars


def test_a_later_usage_replaces_an_earlier_one() -> None:
    assembler = StreamAssembler()
    assembler.add(Chunk((), usage=Usage(total_tokens=1), cost_usd=0.25))
    assembler.add(Chunk((), usage=Usage(total_tokens=2), cost_usd=None))
    assert assembler.reply().usage == Usage(total_tokens=2)
    assert assembler.reply().cost_usd is None


def thinking(text: str, signature: str | None = None) -> Delta:
    block = {"type": "thinking", "thinking": text, **({"signature": signature} if signature else {})}
    return {"thinking_blocks": [block]}


def test_pieces_of_a_thinking_block_join_until_its_signature() -> None:
    redacted = {"type": "redacted_thinking", "data": "x"}
    choice = assembled(
        thinking("Let "),
        thinking("me "),
        thinking("see.", None),
        thinking("", "s1"),
        {"thinking_blocks": [redacted]},
        thinking("Again."),
        thinking("", "s2"),
        thinking("Whole.", "s3"),
        thinking("Whole.", "s4"),
    )
    assert choice.message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "s1"},
        redacted,
        {"type": "thinking", "thinking": "Again.", "signature": "s2"},
        {"type": "thinking", "thinking": "Whole.", "signature": "s3"},
        {"type": "thinking", "thinking": "Whole.", "signature": "s4"},
    ]


def test_pieces_of_openrouters_details_join_by_index_and_type() -> None:
    text = {"type": "reasoning.text", "index": 0}
    encrypted = {"type": "reasoning.encrypted", "id": "e1", "data": "x"}
    choice = assembled(
        {"reasoning_details": [{**text, "text": "Let ", "format": None}]},
        {"reasoning_details": [{**text, "text": "me see.", "format": "anthropic"}]},
        {"reasoning_details": [{**text, "signature": "s1"}]},
        {"reasoning_details": [encrypted, {**encrypted, "id": "e2"}]},
    )
    assert choice.message["reasoning_details"] == [
        {**text, "text": "Let me see.", "format": "anthropic", "signature": "s1"},
        encrypted,
        {**encrypted, "id": "e2"},
    ]


def test_signatures_on_calls_and_functions_are_kept() -> None:
    start = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "", "provider_specific_fields": {"s": "1"}}}
    more = {"index": 0, "function": {"arguments": "{}"}, "extra_content": {"google": {"thought_signature": "2"}}}
    (made,) = assembled({"tool_calls": [start]}, {"tool_calls": [more]}).message["tool_calls"]
    assert made["function"] == {"name": "f", "arguments": "{}", "provider_specific_fields": {"s": "1"}}
    assert made["extra_content"] == {"google": {"thought_signature": "2"}}


def test_lists_among_a_providers_own_fields_grow() -> None:
    fields = [{"provider_specific_fields": {"thought_signatures": [signature], "n": signature}} for signature in "ab"]
    assert assembled(*fields).message["provider_specific_fields"] == {"thought_signatures": ["a", "b"], "n": "b"}
