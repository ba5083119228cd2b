"""Counting each message once comes to what LiteLLM counts of the whole conversation."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.backend import litellm_tokens
from composite_llm.backend.litellm_tokens import TokenCounts

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
