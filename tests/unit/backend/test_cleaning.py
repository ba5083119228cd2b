"""A stream cleaned piece by piece says what the plain reply says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.cleaning import StreamCleaner, cleaned_message
from composite_llm.backend.interface import ChoiceDelta, Chunk, Message
from composite_llm.engine.stream_assembler import StreamAssembler

HIGH, LOW = "\ud83d", "\ude00"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "[THINK]", "[/THINK]", " ", "\n", "a", "It.", HIGH, LOW, "\0", FAMILY, "é"]
    ),
    max_size=8,
).map("".join)


def streamed(fields: list[Message], finish_reason: str | None = "stop") -> Message:
    cleaner, assembler = StreamCleaner(), StreamAssembler()
    for number, delta in enumerate(fields, 1):
        last = number == len(fields)
        assembler.add(Chunk(cleaner.clean((ChoiceDelta(0, delta, finish_reason if last else None),))))
    assembler.add(Chunk(cleaner.rest()))
    return assembler.reply().message


def texts(message: Message) -> tuple[str, str]:
    return message.get("reasoning_content") or "", message.get("content") or ""


@st.composite
def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=8))})
    return [text[a:b] for a, b in pairwise(places)]


@given(st.data(), TEXTS, TEXTS, st.booleans())
def test_any_pieces_give_the_plain_reply(data: Any, reasoning: str, content: str, finished: bool) -> None:
    deltas = [{"reasoning_content": piece} for piece in data.draw(_cut(reasoning))]
    deltas += [{"content": piece} for piece in data.draw(_cut(content))]
    # Empty reasoning is what LiteLLM leaves of empty marks; a stream has no such thing.
    told = {"reasoning_content": reasoning} if reasoning else {}
    plain = cleaned_message({"role": "assistant", "content": content, **told})
    found = streamed([*deltas, {}], "stop" if finished else None)
    if not _unmarked(reasoning, content):
        assert texts(found) == texts(plain)
    "".join(texts(found)).encode()


def _unmarked(reasoning: str, content: str) -> bool:
    """Whether thoughts are ended that were not begun, which a stream cannot know beforehand."""
    return not reasoning.strip("\0") and ("</think>" in content or "[/THINK]" in content)


@given(st.data(), TEXTS)
def test_arguments_and_blocks_of_thinking_are_put_together_too(data: Any, text: str) -> None:
    pieces = data.draw(_cut(text))
    call = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    found = streamed([{"tool_calls": [{"index": 0, "id": "c", "function": {"name": f"f{HIGH}"}}]}, *call, {}])
    plain = cleaned_message({"tool_calls": [{"id": "c", "function": {"name": f"f{HIGH}", "arguments": text}}]})
    assert found["tool_calls"][0]["function"] == plain["tool_calls"][0]["function"]


def test_what_is_clean_goes_on_as_it_is() -> None:
    message = {
        "role": "assistant",
        "content": f"It is {FAMILY}.",
        "tool_calls": [{"id": "c", "function": {"name": "f"}}],
    }
    assert cleaned_message(message) is message
    cleaner = StreamCleaner()
    cleaner.clean((ChoiceDelta(0, {"role": "assistant", "content": "It"}),))
    for piece in (" is", " 漢字", FAMILY, "</b>"):
        deltas = (ChoiceDelta(0, {"content": piece}),)
        assert cleaner.clean(deltas) is deltas


def test_a_joined_emoji_in_pieces_stays_to_the_byte() -> None:
    halves = [half for letter in FAMILY for half in _code_units(letter)]
    assert streamed([*({"content": half} for half in halves), {}])["content"] == FAMILY


def _code_units(letter: str) -> list[str]:
    units = letter.encode("utf-16-le")
    return [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]


def test_thoughts_end_where_the_model_acts() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    found = streamed([{"content": "<think>hm"}, {"tool_calls": [call]}, {"content": "Wait."}, {}])
    assert texts(found) == ("hm", "Wait.")
    assert found["tool_calls"][0]["id"] == "c"


def test_each_choice_has_thoughts_of_its_own() -> None:
    cleaner = StreamCleaner()
    first = cleaner.clean((ChoiceDelta(0, {"content": "<think>a"}), ChoiceDelta(1, {"content": "b"})))
    assert [delta.delta for delta in first] == [{"reasoning_content": "a"}, {"content": "b"}]


def test_content_that_was_all_thoughts_is_none_beside_a_tool_call_and_blank_otherwise() -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    assert cleaned_message({"content": "<think>hm</think>"})["content"] == ""
    assert cleaned_message({"content": "<think>hm</think>", "tool_calls": calls})["content"] is None


@pytest.mark.parametrize(
    ("pieces", "unopened"),
    [
        pytest.param(["hm", "\n", "</think>", "\n\n", "Yes."], True, id="the mark alone"),
        pytest.param(["hm", "</think>\n\n", "Yes."], True, id="with blank lines"),
        pytest.param(["<think>", "hm", "</think>", "Yes."], False, id="opened"),
        pytest.param(["Use ", "`</think>`"], False, id="spoken of"),
        pytest.param(["Yes."], False, id="no thoughts"),
    ],
)
def test_a_stream_learns_that_a_model_begins_with_thoughts_that_nothing_marks(
    pieces: list[str], unopened: bool
) -> None:
    cleaner = StreamCleaner()
    for piece in pieces:
        cleaner.clean((ChoiceDelta(0, {"content": piece}),))
    assert cleaner.unopened is unopened


def test_half_an_emoji_in_the_log_probabilities_is_mended() -> None:
    cleaner = StreamCleaner()
    (delta,) = cleaner.clean((ChoiceDelta(0, {"content": "Yes"}, logprobs={"content": [{"token": HIGH}]}),))
    assert delta.logprobs == {"content": [{"token": "\ufffd"}]}
    assert delta.delta == {"content": "Yes"}


@pytest.mark.parametrize("told", ["", "It is late."])
def test_what_separated_thoughts_from_the_answer_goes_with_them_also_where_there_were_none(told: str) -> None:
    # LiteLLM reads `<think></think>\\n\\nForty-two.` as this with an empty text.
    message = {"role": "assistant", "content": "\n\nForty-two.", "reasoning_content": told}
    assert cleaned_message(message)["content"] == "Forty-two."
    indented = {"role": "assistant", "content": "    x = 1", "reasoning_content": ""}
    assert cleaned_message(indented) == indented
