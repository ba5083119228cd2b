from __future__ import annotations

import copy
import enum
import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from composite_llm.model.errors import InvalidOption
from composite_llm.model.messages import (
    ROLES,
    TOOL_TEXT_LIMIT,
    advisor_view,
    as_text,
    checked_messages,
    insert_after_last_user,
    last_user_index,
    modalities_in,
    modality,
    shortened,
    text_of,
    with_persona,
    with_system_block,
    without_modalities,
)

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "sky"}'}}
TOOL_HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "look_up", "content": "Rayleigh"},
]


class Role(str, enum.Enum):  # noqa: UP042  # as frameworks write it
    USER = "user"


class FrameworkMessage(BaseModel):
    role: str
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    reasoning_content: str | None = None


class FrameworkCall(BaseModel):
    id: str
    type: str = "function"
    function: dict[str, Any]
    index: int = 0


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        pytest.param({"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}, id="plain"),
        pytest.param({"role": Role.USER, "content": "hi"}, {"role": "user", "content": "hi"}, id="str-enum-role"),
        pytest.param(
            {"role": "user", "content": "hi", "name": "", "extra": 1, "cache_breakpoint": True},
            {"role": "user", "content": "hi"},
            id="foreign-keys-and-blank-name",
        ),
        pytest.param(
            {"role": "user", "content": "hi", "name": "ann", "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": "hi", "name": "ann", "cache_control": {"type": "ephemeral"}},
            id="name-and-cache-mark",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "reasoning_content": "r", "thinking_blocks": [], "refusal": None},
            {"role": "assistant", "content": "x"},
            id="own-earlier-answer",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            id="tool-call-with-index",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [FrameworkCall(id="c1", function=CALL["function"])]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            id="tool-call-as-an-object",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            id="tool-call-without-arguments",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "tool_calls": []},
            {"role": "assistant", "content": "x"},
            id="no-tool-calls",
        ),
        pytest.param({"role": "assistant"}, {"role": "assistant", "content": ""}, id="assistant-without-content"),
        pytest.param({"role": "user", "content": None}, {"role": "user", "content": ""}, id="user-without-content"),
        pytest.param(
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "x"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
            id="thinking-parts",
        ),
        pytest.param(
            FrameworkMessage(role="assistant", content="x", reasoning_content="r"),
            {"role": "assistant", "content": "x"},
            id="object",
        ),
        pytest.param(
            {"role": "developer", "content": "d"}, {"role": "developer", "content": "d"}, id="developer-stays"
        ),
    ],
)
def test_a_message_keeps_what_providers_know_and_nothing_else(message: Any, cleaned: dict[str, Any]) -> None:
    assert checked_messages([message]) == [cleaned]


def test_cleaning_leaves_the_callers_list_as_it_was() -> None:
    messages = [
        {"role": Role.USER, "content": [{"type": "text", "text": "a"}, {"type": "thinking"}], "extra": {"x": [1]}},
        {"role": "assistant", "tool_calls": [{**CALL, "index": 0}], "name": ""},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]
    before = copy.deepcopy(messages)
    cleaned = checked_messages(messages)
    advisor_view(cleaned, [{"function": {"name": "f"}}])
    with_system_block(cleaned, "block")
    insert_after_last_user(cleaned, {"role": "user", "content": "x"})
    assert messages == before


def test_multimodal_content_is_the_callers_own() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}}
    (message,) = checked_messages([{"role": "user", "content": [image]}])
    assert message["content"] == [image]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        pytest.param([], "messages: is empty", id="empty"),
        pytest.param(None, "messages: is a NoneType", id="none"),
        pytest.param("hi", "messages: is a str", id="text"),
        pytest.param({"role": "user"}, "messages: is a dict", id="mapping"),
        pytest.param(["hi"], r"messages\.0: is a str; allowed: a mapping with 'role'", id="text-inside"),
        pytest.param([{"content": "x"}], r"messages\.0\.role: got None; allowed: system, developer", id="no-role"),
        pytest.param(
            [{"role": "user", "content": ""}, {"role": "bot"}], r"messages\.1\.role: got 'bot'", id="unknown-role"
        ),
        pytest.param([{"role": ["user"]}], r"messages\.0\.role: got", id="role-as-a-list"),
        pytest.param([{"role": "assistant", "tool_calls": 5}], r"messages\.0\.tool_calls", id="tool-calls-as-a-number"),
    ],
)
def test_what_is_no_conversation_is_explained(messages: Any, says: str) -> None:
    with pytest.raises(InvalidOption, match=says) as raised:
        checked_messages(messages)
    assert raised.value.status_code == 400


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "text", "id", "function", "name", "arguments", "image_url"]), inner)
    ),
    max_leaves=6,
)
ODD_MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(ROLES)},
    optional=dict.fromkeys(("content", "name", "tool_calls", "tool_call_id", "function_call", "extra"), JUNK),
)


@given(st.lists(ODD_MESSAGES, min_size=1, max_size=3))
@example([{"role": "assistant", "tool_calls": 5}])
@example([{"role": "assistant", "tool_calls": [{"function": "look_up"}]}])
@example([{"role": "assistant", "function_call": "look_up"}])
@example([{"role": "assistant", "tool_calls": {"id": "c1"}}])
def test_odd_messages_are_taken_or_refused_and_never_crash(messages: list[dict[str, Any]]) -> None:
    refused: InvalidOption | None = None
    view: list[dict[str, Any]] = []
    try:
        view = advisor_view(checked_messages(messages), None)
    except InvalidOption as error:
        refused = error
    assert refused.key.startswith("messages.") if refused is not None else view[-1]["role"] == "user"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(None, "", id="none"),
        pytest.param("a", "a", id="text"),
        pytest.param([{"type": "text", "text": "a"}, "b", {"type": "text", "text": "c"}], "a\nb\nc", id="parts"),
        pytest.param({"type": "text", "text": "a"}, "a", id="one-part"),
        pytest.param([{"type": "image_url"}, {"type": "odd"}, {}], "[image]\n[odd]\n[attachment]", id="no-text"),
        pytest.param(5, "5", id="number"),
        pytest.param([5, None], "", id="no-parts"),
    ],
)
def test_the_text_of_a_content_notes_what_is_no_text(content: Any, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("image_url", "image"),
        ("input_image", "image"),
        ("input_audio", "audio"),
        ("file", "file"),
        ("document", "file"),
        ("video_url", "video"),
        ("text", None),
        ("unheard_of", None),
    ],
)
def test_a_part_tells_its_modality(kind: str, found: str | None) -> None:
    assert modality({"type": kind}) == found
    assert modalities_in([{"role": "user", "content": [{"type": kind}]}]) == ({found} if found else set())


def test_text_has_no_modality() -> None:
    assert modality("image_url") is None
    assert modalities_in([{"role": "user", "content": "image"}, {"role": "assistant", "content": None}]) == set()


def test_a_part_that_a_model_cannot_take_becomes_a_note_on_a_copy() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}, {"type": "input_audio"}]},
        {"role": "user", "content": "plain"},
    ]
    before = copy.deepcopy(messages)
    noted = without_modalities(messages, {"image"})
    assert noted[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "text", "text": "[image not shown to you]"},
        {"type": "input_audio"},
    ]
    assert noted[1] is messages[1]
    assert messages == before
    assert without_modalities(messages, set()) == messages


def test_without_tools_an_advisor_sees_the_callers_own_messages() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert advisor_view(messages, None) == messages
    assert advisor_view(messages, []) == messages


def test_an_advisor_sees_tool_steps_as_text_and_no_tool_machinery() -> None:
    view = advisor_view(TOOL_HISTORY, None)
    assert [message["role"] for message in view] == ["system", "system", "user", "assistant", "user"]
    assert view[0] == TOOL_HISTORY[0]
    assert view[1]["content"].startswith("You are advising")
    assert view[3]["content"] == 'Let me see.\n[called look_up with {"q": "sky"}]'
    assert view[4]["content"] == "[result of look_up]\nRayleigh"
    assert not any({"tool_calls", "tool_call_id"} & set(message) for message in view)


def test_an_advisor_is_told_which_tools_there_are() -> None:
    tools = [
        {"type": "function", "function": {"name": "look_up", "description": "Looks it up.\nAt length."}},
        {"type": "function", "function": {"name": "bare"}},
        {"name": "flat", "description": "Anthropic's form"},
        "no tool",
    ]
    note = advisor_view([{"role": "user", "content": "u"}], tools)[0]["content"]
    assert note.endswith("The assistant's tools:\n- look_up: Looks it up.\n- bare\n- flat: Anthropic's form")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(TOOL_HISTORY, id="tool-result"),
        pytest.param(TOOL_HISTORY[:3], id="tool-call"),
        pytest.param([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], id="assistant"),
        pytest.param([{"role": "system", "content": "s"}], id="system-only"),
        pytest.param(
            [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
                {"role": "function", "name": "f", "content": "r"},
            ],
            id="older-function-call",
        ),
    ],
)
def test_an_advisors_view_ends_on_a_user_turn(messages: list[dict[str, Any]]) -> None:
    view = advisor_view(messages, None)
    assert view[-1]["role"] == "user"
    assert view[-1]["content"].strip()


def test_an_older_function_call_is_told_as_text() -> None:
    message = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    view = advisor_view([{"role": "user", "content": "u"}, message], None)
    assert view[2] == {"role": "assistant", "content": '[called f with {"a": 1}]'}


def test_a_long_tool_result_is_shown_to_advisors_by_head_and_tail() -> None:
    result = "HEAD" + "x" * 3 * TOOL_TEXT_LIMIT + "TAIL"
    messages = [*TOOL_HISTORY[:3], {"role": "tool", "tool_call_id": "c1", "content": result}]
    shown = advisor_view(messages, None)[-1]["content"].removeprefix("[result of c1]\n")
    assert len(shown) <= TOOL_TEXT_LIMIT
    assert shown.startswith("HEAD")
    assert shown.endswith("TAIL")
    assert "characters left out" in shown


@given(st.text(alphabet="ab", max_size=400), st.integers(0, 200))
def test_a_shortened_text_keeps_to_its_limit_as_far_as_its_mark_allows(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) <= max(limit, 40) or short == text
    assert (short == text) == (len(text) <= limit)


def test_a_shortened_text_says_how_much_is_missing() -> None:
    short = shortened("a" * 500 + "b" * 500, 300)
    said = re.search(r"(\d+) characters left out", short)
    assert said is not None
    assert int(said[1]) == 1000 - short.count("a", 0, said.start()) - short.count("b", said.end())


EXTRA = {"role": "user", "content": "material"}


@pytest.mark.parametrize(
    ("roles", "place"),
    [
        pytest.param(["user"], 1, id="only-a-question"),
        pytest.param(["system", "user", "assistant", "user"], 4, id="conversation"),
        pytest.param(["system", "user", "assistant", "tool"], 2, id="tool-step"),
        pytest.param(["system"], 1, id="no-user"),
    ],
)
def test_material_goes_right_after_the_last_user_message(roles: list[str], place: int) -> None:
    messages = [{"role": role, "content": role} for role in roles]
    assert insert_after_last_user(messages, EXTRA).index(EXTRA) == place


def test_the_prefix_of_a_prompt_stays_the_same_while_tool_steps_are_added() -> None:
    prompts = [insert_after_last_user(TOOL_HISTORY[:length], EXTRA) for length in (2, 3, 4)]
    for shorter, longer in pairwise(prompts):
        assert json.dumps(longer).startswith(json.dumps(shorter)[:-1])


def test_the_last_user_message_is_found_from_the_end() -> None:
    assert last_user_index(TOOL_HISTORY) == 1
    assert last_user_index(TOOL_HISTORY[:1]) is None


@pytest.mark.parametrize(
    ("first", "joined"),
    [
        pytest.param("Be brief.", "Be brief.\n\nBLOCK", id="text"),
        pytest.param("", "BLOCK", id="empty"),
        pytest.param(None, "BLOCK", id="none"),
        pytest.param(
            [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "BLOCK"},
            ],
            id="parts-with-a-cache-mark",
        ),
    ],
)
@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_block_is_appended_to_the_callers_system_message(role: str, first: Any, joined: Any) -> None:
    question = {"role": "user", "content": "u"}
    messages = [{"role": role, "content": first}, question]
    assert with_system_block(messages, "BLOCK") == [{"role": role, "content": joined}, question]
    assert messages[0]["content"] == first


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": "u"}]], ids=["empty", "no-system"])
def test_a_system_block_is_put_first_where_there_is_none(messages: list[dict[str, Any]]) -> None:
    assert with_system_block(messages, "BLOCK") == [{"role": "system", "content": "BLOCK"}, *messages]


def test_a_persona_follows_the_callers_own_system_messages() -> None:
    messages = [{"role": role, "content": role} for role in ("system", "developer", "user", "system")]
    with_one = with_persona(messages, "P")
    assert [message["content"] for message in with_one] == ["system", "developer", "P", "user", "system"]
    assert with_persona(messages, None) == messages
    assert with_persona([{"role": "system", "content": "s"}], "P")[-1] == {"role": "system", "content": "P"}


class Result(BaseModel):
    value: int


class Odd:
    def __str__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("a", "a", id="text-as-it-is"),
        pytest.param({"a": [1, None]}, '{"a": [1, null]}', id="mapping"),
        pytest.param(None, "null", id="nothing"),
        pytest.param("ü", "ü", id="unicode"),
        pytest.param(["ü"], '["ü"]', id="unicode-inside"),
        pytest.param(Result(value=1), '{"value": 1}', id="pydantic"),
        pytest.param({"r": Result(value=1)}, '{"r": {"value": 1}}', id="pydantic-inside"),
        pytest.param(b"bytes\xff", "bytes\ufffd", id="bytes"),
        pytest.param({1}, "[1]", id="set"),
        pytest.param(Odd(), '"odd"', id="any-object"),
        pytest.param({(1, 2): 3}, "{(1, 2): 3}", id="keys-that-json-lacks"),
    ],
)
def test_a_tools_result_becomes_text(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_a_result_that_contains_itself_becomes_text() -> None:
    value: list[Any] = []
    value.append(value)
    assert as_text(value) == "[[...]]"
