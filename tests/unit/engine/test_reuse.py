from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.text_cache import MemoryTextCache
from composite_llm.engine.reuse import is_tool_step, turn_key

MARK = {"cache_control": {"type": "ephemeral"}}
SYSTEM = {"role": "system", "content": "You are an agent."}
USER = {"role": "user", "content": "Find it."}
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
OLDER = {"role": "function", "name": "f", "content": "found"}
ANSWER = {"role": "assistant", "content": "Here."}


@pytest.mark.parametrize(
    ("messages", "step"),
    [
        ([USER], False),
        ([SYSTEM, USER], False),
        ([USER, CALLS], False),
        ([USER, CALLS, RESULT], True),
        ([USER, CALLS, OLDER], True),
        ([USER, CALLS, RESULT, ANSWER], True),
        ([USER, CALLS, RESULT, ANSWER, USER], False),
        ([SYSTEM], False),
        ([SYSTEM, CALLS, RESULT], True),
    ],
    ids=lambda value: "-".join(message["role"] for message in value) if isinstance(value, list) else str(value),
)
def test_a_tool_step_is_a_turn_in_which_a_tool_has_answered(messages: list[dict[str, Any]], step: bool) -> None:
    assert is_tool_step(messages) is step


@pytest.mark.parametrize("behind", [[CALLS], [CALLS, RESULT], [CALLS, RESULT, CALLS, RESULT, ANSWER]])
def test_what_follows_the_last_user_message_does_not_change_the_key(behind: list[dict[str, Any]]) -> None:
    assert turn_key([SYSTEM, USER, *behind], {}, "") == turn_key([SYSTEM, USER], {}, "")


@pytest.mark.parametrize(
    "user",
    [
        {"role": "user", "content": [{"type": "text", "text": "Find it.", **MARK}]},
        {"role": "user", "content": [{"type": "text", "text": "Find it."}]},
        {**USER, **MARK},
    ],
    ids=["in a part", "gone from its part", "on the message"],
)
def test_a_cache_mark_does_not_change_the_key(user: dict[str, Any]) -> None:
    assert turn_key([SYSTEM, user], {}, "") == turn_key([SYSTEM, USER], {}, "")


@pytest.mark.parametrize(
    ("messages", "settings", "owner"),
    [
        ([SYSTEM, {**USER, "content": "Find that."}], {}, ""),
        ([USER], {}, ""),
        ([SYSTEM, USER, ANSWER, USER], {}, ""),
        ([SYSTEM, {**USER, "name": "ann"}], {}, ""),
        (
            [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Find it."}, {"type": "image_url"}]}],
            {},
            "",
        ),
        ([SYSTEM, USER], {"options": {"layers": 2}}, ""),
        ([SYSTEM, USER], {}, "key-1"),
        ([SYSTEM, USER], {}, "None"),
    ],
)
def test_another_conversation_other_settings_or_another_caller_have_another_key(
    messages: list[dict[str, Any]], settings: dict[str, Any], owner: str
) -> None:
    assert turn_key(messages, settings, owner) != turn_key([SYSTEM, USER], {}, "")


def test_the_key_tells_nothing_of_the_conversation() -> None:
    key = turn_key([USER], {"api_key": "sk-secret"}, "key-1")
    assert key.startswith("composite_llm:turn:")
    assert len(key) == len("composite_llm:turn:") + 64


@given(st.recursive(st.none() | st.text() | st.binary(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_content_has_a_key_that_stays_the_same(content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    assert turn_key(messages, {}, "") == turn_key(messages, {}, "")


# --- where they are kept -------------------------------------------------------------------------------------------


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_the_store_keeps_an_entry_until_it_is_too_old() -> None:
    clock = Clock()
    store = MemoryTextCache(clock=clock)
    await store.put("turn", "text", 60)
    clock.seconds = 59.9
    assert await store.get("turn") == "text"
    clock.seconds = 60
    assert await store.get("turn") is None
    assert len(store) == 0


async def test_the_store_is_bounded_and_forgets_what_was_not_used_for_longest() -> None:
    store = MemoryTextCache(max_entries=2)
    await store.put("a", "1", 60)
    await store.put("b", "2", 60)
    assert await store.get("a") == "1"
    await store.put("c", "3", 60)
    assert [await store.get(key) for key in "abc"] == ["1", None, "3"]
    assert len(store) == 2


async def test_memory_is_bounded_by_characters_too() -> None:
    store = MemoryTextCache(max_characters=10)
    for key, value in (("a", "aaaa"), ("b", "bbbb"), ("b", "bbb"), ("c", "ccc")):
        await store.put(key, value, 60)
    assert [await store.get(key) for key in "abc"] == ["aaaa", "bbb", "ccc"]
    await store.put("d", "dddd", 60)
    assert [await store.get(key) for key in "abcd"] == [None, "bbb", "ccc", "dddd"]
    await store.put("e", "e" * 11, 60)
    assert len(store) == 0


async def test_a_new_value_takes_the_place_of_the_old() -> None:
    store = MemoryTextCache(max_entries=2)
    for value in ("1", "2", "3"):
        await store.put("a", value, 60)
    assert (len(store), await store.get("a")) == (1, "3")
