from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from composite_llm.model.errors import InvalidOption
from composite_llm.model.messages import checked_messages
from composite_llm.model.sendable import MAX_DEPTH, MAX_VALUES, check_sendable, check_values

ASKED = [{"role": "user", "content": "Which bridge is the oldest?"}]


def check(messages: Any = ASKED, **params: Any) -> None:
    check_values({"messages": messages, **params})
    check_sendable(checked_messages(messages), params)


def with_part(part: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": "system", "content": "a"}, {"role": role, "content": [{"type": "text", "text": "a"}, part]}]


def nested(depth: int, inside: Any = 1) -> Any:
    for _ in range(depth):
        inside = {"a": inside}
    return inside


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (5, "messages.1.content.1: is a int"),
        (None, "messages.1.content.1: is a NoneType"),
        ([], "messages.1.content.1: is a list"),
        ("a", "messages.1.content.1: is a str"),
        ({}, "messages.1.content.1.type: is missing"),
        ({"text": "a"}, "messages.1.content.1.type: is missing"),
        ({"type": 5}, "messages.1.content.1.type: is not a name"),
        ({"type": ""}, "messages.1.content.1.type: is not a name"),
        ({"type": "text"}, "messages.1.content.1.text: is missing"),
        ({"type": "text", "text": 5}, "messages.1.content.1.text: is malformed"),
        ({"type": "image_url"}, "messages.1.content.1.image_url: is missing"),
        ({"type": "image_url", "image_url": None}, "messages.1.content.1.image_url: is missing"),
        ({"type": "image_url", "image_url": ""}, "messages.1.content.1.image_url: is malformed"),
        ({"type": "image_url", "image_url": []}, "messages.1.content.1.image_url: is malformed"),
        ({"type": "image_url", "image_url": {}}, "messages.1.content.1.image_url: is malformed"),
        ({"type": "image_url", "image_url": {"url": 5}}, "messages.1.content.1.image_url: is malformed"),
        ({"type": "image_url", "url": "https://a.example"}, "messages.1.content.1.image_url: is missing"),
        ({"type": "video_url"}, "messages.1.content.1.video_url: is missing"),
        ({"type": "audio_url", "audio_url": {}}, "messages.1.content.1.audio_url: is malformed"),
        ({"type": "input_audio"}, "messages.1.content.1.input_audio: is missing"),
        ({"type": "input_audio", "input_audio": "a"}, "messages.1.content.1.input_audio: is malformed"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "messages.1.content.1.input_audio: is malformed"),
        ({"type": "file"}, "messages.1.content.1.file: is missing"),
        ({"type": "file", "file": "a"}, "messages.1.content.1.file: is malformed"),
        ({"type": "file", "file": {}}, "messages.1.content.1.file: is malformed"),
        ({"type": "text", "text": "a", "x": float("nan")}, "messages.1.content.1.…: got nan"),
        ({"type": "text", "text": "a", "x": {1}}, "messages.1.content.1.…: is a set"),
        ({"type": "text", "text": "a", "x": nested(900)}, "messages.1.content.1.…: is nested too deep"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_malformed_part_is_refused_by_its_place(part: Any, says: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check(with_part(part))
    assert str(caught.value).startswith(says)
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": ""},
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": "https://a.example/b.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low", "format": "image/png"}},
        {"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}},
        {"type": "audio_url", "audio_url": "https://a.example/b.mp3"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}, "title": "b"},
        {"type": "guarded_text", "text": "a"},
        {"type": "grounding_source", "text": "a"},
        {"type": "query", "text": "a"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
        {"type": "tool_result", "tool_use_id": "1", "content": "a"},
        {"type": "search_result", "source": "a", "title": "b", "content": []},
        {"type": "a_type_of_tomorrow", "x": [1, 2.5, None, True]},
    ],
    ids=lambda part: str(part["type"]),
)
def test_a_part_of_any_providers_own_is_left_to_the_provider(part: Any) -> None:
    check(with_part(part))


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_only_a_users_part_needs_a_type_that_somebody_knows(role: str) -> None:
    check(with_part({"text": "a"}, role))
    check(with_part({"type": "tool_reference", "tool_name": "a"}, role))


@pytest.mark.parametrize("content", [5, 0.5, True, b"a"], ids=str)
def test_a_content_that_is_neither_text_nor_parts_is_refused(content: Any) -> None:
    with pytest.raises(InvalidOption, match=r"messages\.0\.content: is a"):
        check([{"role": "user", "content": content}])


def _after_a_call(call: Any) -> list[dict[str, Any]]:
    return [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]


@pytest.mark.parametrize(
    "call",
    [
        5,
        {},
        {"id": "1"},
        {"id": "1", "type": "function"},
        {"id": "1", "type": "function", "function": "f"},
        {"id": "1", "type": "function", "function": {"name": 5, "arguments": "{}"}},
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": 5}},
    ],
    ids=str,
)
def test_an_earlier_tool_call_that_is_none_is_refused_by_its_place(call: Any) -> None:
    with pytest.raises(InvalidOption, match=r"messages\.1\.tool_calls\.0\.function"):
        check(_after_a_call(call))


@pytest.mark.parametrize(
    "call",
    [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "1", "function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{not JSON"}},
        {"id": "1", "type": "custom", "custom": {"name": "f", "input": "a"}},
        {"id": "1", "type": "computer_call"},
    ],
    ids=str,
)
def test_an_unusual_earlier_tool_call_is_left_to_the_provider(call: Any) -> None:
    check(_after_a_call(call))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"tools": "a"}, "tools: is a str"),
        ({"tools": {"type": "function"}}, "tools: is a dict"),
        ({"tools": [5]}, "tools.0: is a int"),
        ({"tools": [None]}, "tools.0: is a NoneType"),
        ({"tools": [{}]}, "tools.0: is empty"),
        ({"tools": [{"type": "function"}]}, "tools.0.function: is not a function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function: is not a function"),
        ({"tools": [{"function": {"name": "f", "parameters": "a"}}]}, "tools.0.function.parameters: is a str"),
        ({"tools": [{"function": {"name": "f", "parameters": {"a": {1}}}}]}, "tools.0.function.parameters.…: is a set"),
        (
            {"tools": [{"function": {"name": "f", "parameters": nested(200)}}]},
            "tools.0.function.parameters.…: is nested",
        ),
        ({"functions": [{"description": "a"}]}, "functions.0: is not a function"),
        ({"response_format": "json"}, "response_format: is not a format"),
        ({"response_format": {}}, "response_format: is not a format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema: is missing"),
        ({"response_format": {"type": "json_schema", "json_schema": 5}}, "response_format.json_schema: is a int"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": "a"}}},
            "response_format.json_schema.schema: is a str",
        ),
        ({"temperature": math.nan}, "temperature: got nan"),
        ({"temperature": -math.inf}, "temperature: got -inf"),
        ({"n": math.nan}, "n: got nan"),
        ({"logit_bias": {"5": math.nan}}, "logit_bias.*: got nan"),
        ({"extra_body": {"x": [math.inf]}}, "extra_body.x.0: got inf"),
        ({"metadata": nested(300)}, "metadata.a.a.a.…: is nested too deep"),
        ({"x": {"of the caller": math.nan}}, "x.*: got nan"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_parameter_that_nobody_can_be_sent_is_refused_by_name(params: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check(**params)
    assert str(caught.value).startswith(says)


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    "params",
    [
        {"tools": []},
        {"tools": None},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": [{"googleSearch": {}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://a.example"}]},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object", "response_schema": {"type": "object"}}},
        {"response_format": {"type": "structural_tag", "structures": []}},
        {"response_format": City},
        {"tool_executor": {"f": print}},
        {"client": json.JSONEncoder},
        {"temperature": 0.5, "seed": 10**30, "stop": ["a"]},
        {"metadata": nested(MAX_DEPTH - 1)},
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_some_provider_or_client_library_takes_is_let_through(params: dict[str, Any]) -> None:
    check(**params)


def test_a_request_of_too_many_values_is_refused_without_looking_at_all_of_them() -> None:
    with pytest.raises(InvalidOption, match="messages: holds too much"):
        check(with_part({"type": "a", "x": [0] * MAX_VALUES}))
    check(with_part({"type": "a", "x": [0] * (MAX_VALUES - 1000)}))


def test_ten_megabytes_of_text_are_one_value() -> None:
    check([{"role": "user", "content": "word " * 2_000_000}])


def test_depth_ends_no_stack_of_ours() -> None:
    with pytest.raises(InvalidOption, match="nested too deep"):
        check(tools=[{"type": "function", "function": {"name": "f", "parameters": nested(100_000)}}])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "function", "name"]), inner)
    ),
    max_leaves=8,
)


@given(content=_JSON, call=_JSON, tools=_JSON, response_format=_JSON)
def test_whatever_is_sent_is_taken_or_refused_and_what_is_taken_is_json(
    content: Any, call: Any, tools: Any, response_format: Any
) -> None:
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": "a", "tool_calls": [call]},
    ]
    try:
        check_values({"messages": messages, "tools": tools, "response_format": response_format})
        cleaned = checked_messages(messages)
        check_sendable(cleaned, {"tools": tools, "response_format": response_format})
    except InvalidOption:
        return
    json.dumps([cleaned, tools, response_format], allow_nan=False)
