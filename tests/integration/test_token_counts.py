"""Counting each message once comes to what LiteLLM counts of the whole conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.backend import litellm_tokens
from composite_llm.backend.litellm_tokens import LARGEST_IMAGE, TokenCounts
from fake_server import ThreadedServer

MODELS = ["gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gpt-3.5-turbo", "nobody/knows"]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
TEXT = st.text(max_size=60)
MESSAGE: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}),
    st.fixed_dictionaries({"role": st.just("user"), "content": TEXT, "name": st.just("ada")}),
    st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.just("c1"), "content": TEXT}),
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": st.lists(TEXT.map(lambda t: {"type": "text", "text": t}))}
    ),
)


@settings(max_examples=60)
@given(st.sampled_from(MODELS), st.lists(MESSAGE, min_size=1, max_size=6))
def test_the_sum_over_the_messages_is_litellms_count(model: str, messages: list[dict[str, Any]]) -> None:
    counts = TokenCounts()
    expected = litellm.token_counter(model=model, messages=messages)
    assert counts.count(model, messages) == expected
    assert counts.count(model, messages) == expected  # and again, remembered


def test_a_message_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    count = litellm.token_counter

    def counting(**kwargs: Any) -> int:
        asked.append(kwargs["messages"])
        return count(**kwargs)

    monkeypatch.setattr(litellm, "token_counter", counting)
    counts = TokenCounts()
    conversation = [{"role": "user", "content": f"question {number}"} for number in range(5)]
    counts.count("gpt-4o", conversation)
    asked.clear()
    counts.count("gpt-4o", [*conversation, {"role": "user", "content": "one more"}])
    assert asked == [[{"role": "user", "content": "one more"}]]


def test_what_is_remembered_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm_tokens, "MAX_ENTRIES", 20)
    counts = TokenCounts()
    conversation = [{"role": "user", "content": f"question {number}"} for number in range(50)]
    assert counts.count("gpt-4o", conversation) == litellm.token_counter(model="gpt-4o", messages=conversation)
    assert 0 < len(counts) <= 20


def _image(url: str, detail: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": detail}}]}


@pytest.mark.parametrize("detail", ["high", "low", "auto"])
def test_nobody_is_asked_for_an_image_to_count_it(detail: str, server: ThreadedServer) -> None:
    url = f"{server.url}/an-image-of-the-caller.png"
    tokens = TokenCounts().count("gpt-4o", [_image(url, detail)])
    assert server.ledger.records == []
    assert tokens < 100 if detail != "high" else tokens > LARGEST_IMAGE


def test_an_image_that_came_along_is_measured() -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    tokens = TokenCounts().count("gpt-4o", [_image(f"data:image/png;base64,{pixel}", "high")])
    assert 85 < tokens < 1000


LONG_ONES: dict[str, dict[str, Any]] = {
    "text": {"role": "user", "content": "The oldest bridge is older than it looks. " * 10_000},
    "a part": {"role": "user", "content": [{"type": "text", "text": "Brücken über Flüsse, 1234. " * 10_000}]},
    "half of it dense": {"role": "user", "content": "a" * 200_000 + "漢字" * 100_000},
    "a tool call": {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**CALL, "function": {"name": "look", "arguments": '{"at": "' + "sky " * 50_000 + '"}'}}],
    },
}


@pytest.mark.parametrize("name", LONG_ONES)
async def test_on_a_loop_a_long_message_is_estimated_and_nearly_right(name: str) -> None:
    message = LONG_ONES[name]
    counts = TokenCounts()
    estimate = counts.count("gpt-4o", [message])
    exact = litellm.token_counter(model="gpt-4o", messages=[message])
    assert 0.9 * exact < estimate < 1.5 * exact + LARGEST_IMAGE
    assert len(counts) == 0


async def test_what_was_counted_beside_the_loop_is_known_on_it() -> None:
    counts, message = TokenCounts(), LONG_ONES["text"]
    await asyncio.to_thread(counts.count, "gpt-4o", [message])
    assert counts.count("gpt-4o", [message]) == litellm.token_counter(model="gpt-4o", messages=[message])
