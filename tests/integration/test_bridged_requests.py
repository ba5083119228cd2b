"""What LiteLLM cannot make a chat of is the caller's mistake, told before LiteLLM fails over it; what it can is let through."""

from __future__ import annotations

from typing import Any

import pytest

from composite_llm.model.errors import InvalidOption
from composite_llm.proxy.bridged import check_bridged
from composite_llm.proxy.shape import check_shape

PICTURE = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
ASKED = {"role": "user", "content": "Which bridge is the oldest?"}
USED = [
    ASKED,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4 degrees"}]},
]
MESSAGES: dict[str, dict[str, Any]] = {
    "a text": {"messages": [ASKED]},
    "a system prompt": {"messages": [ASKED], "system": [{"type": "text", "text": "Be brief."}]},
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
                ],
            }
        ]
    },
    "a tool": {
        "messages": USED,
        "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "weather"},
    },
    "a tool of Anthropic's": {
        "messages": [ASKED],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "thoughts": {
        "messages": [
            ASKED,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "The first one."},
                ],
            },
            ASKED,
        ],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    "a document": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
            }
        ]
    },
    "nothing chosen": {"messages": [ASKED], "tool_choice": {"type": "none"}, "stop_sequences": ["x"], "top_k": 5},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "a text": {"input": "Which bridge is the oldest?"},
    "items": {
        "input": [
            {"role": "user", "content": "a"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "c"}, {"type": "input_image", "image_url": PICTURE}],
            },
        ],
        "instructions": "Be brief.",
        "max_output_tokens": 60,
    },
    "a tool": {
        "input": [
            {"role": "user", "content": "a"},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "4 degrees"},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}],
        "tool_choice": {"type": "function", "name": "weather"},
    },
    "a format": {
        "input": "a",
        "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
        "reasoning": {"effort": "low", "summary": "auto"},
    },
    "a tool of OpenAI's": {"input": "a", "tools": [{"type": "web_search"}], "parallel_tool_calls": False},
}
MALFORMED: dict[str, tuple[str, dict[str, Any]]] = {
    "a budget of thoughts that is a text": (
        "anthropic_messages",
        {"messages": [ASKED], "thinking": {"type": "enabled", "budget_tokens": "x"}},
    ),
    "a used tool without a name": (
        "anthropic_messages",
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": None, "input": {}}]},
                USED[2],
            ]
        },
    ),
    "a tool of no type": ("anthropic_messages", {"messages": [ASKED], "tools": [{"type": None, "name": "f"}]}),
    "a schema that is a text": (
        "responses",
        {"input": "a", "tools": [{"type": "function", "name": "f", "parameters": "x"}]},
    ),
    "callers that are a text": (
        "responses",
        {"input": "a", "tools": [{"type": "custom", "name": "f", "allowed_callers": "x"}]},
    ),
}


@pytest.mark.parametrize(
    ("call", "body"),
    [
        *(("anthropic_messages", {"max_tokens": 60, **body}) for body in MESSAGES.values()),
        *(("responses", body) for body in RESPONSES.values()),
    ],
    ids=[*(f"messages: {name}" for name in MESSAGES), *(f"responses: {name}" for name in RESPONSES)],
)
def test_what_clients_send_is_let_through_and_left_as_it_is(call: str, body: dict[str, Any]) -> None:
    before = repr(body)
    check_shape({"model": "moa", **body}, f"a{call}")
    check_shape({"model": "moa", **body}, call)
    assert repr(body) == before


@pytest.mark.parametrize("name", MALFORMED)
def test_what_litellm_fails_over_is_refused(name: str) -> None:
    call, body = MALFORMED[name]
    with pytest.raises(InvalidOption, match="cannot be made a chat of"):
        check_bridged({"max_tokens": 60, **body}, call)
    with pytest.raises(InvalidOption):
        check_shape({"model": "moa", "max_tokens": 60, **body}, call)
