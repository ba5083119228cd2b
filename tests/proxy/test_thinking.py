"""Thinking final models that call tools, behind the proxy's endpoints and in the shapes of their clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import wire

if TYPE_CHECKING:
    from fake_server import ThreadedServer
    from tests.support.proxies import Proxy

HM, SIGNATURE = "I need the weather first.", "sig-of-the-first-step"
QUESTION = "What is the weather in Oslo and Bergen?"
ANSWER = "Four degrees in both."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# Kimi's ids, which Anthropic's endpoint writes with other letters.
CALLS = [
    {"name": "weather", "arguments": {"city": city}, "id": f"functions.weather:{n}"}
    for n, city in enumerate(["Oslo", "Bergen"])
]
CHAT_TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
MODELS = pytest.mark.parametrize("model", ["deepseek", "quiet-deepseek", "claude"])
BOTH = pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])


@pytest.fixture(autouse=True)
def thinkers(upstream: ThreadedServer) -> None:
    def says(rule: str, **more: str) -> dict[str, Any]:
        step = {"reasoning": HM, "text": "Let me look.", "tool_calls": CALLS, **more}
        return {"says": [step, {"text": ANSWER}], "rules": [rule]}

    upstream.set_scenario("deepseek-v3", says("deepseek_reasoning"))
    upstream.set_scenario("claude-sonnet-4-5", says("anthropic_signatures", thinking_signature=SIGNATURE))


def assert_given_back(upstream: ThreadedServer) -> None:
    """The final model, and nobody else, was sent in its second request what it had said in the first."""
    final = [record for record in upstream.ledger.records if record.model in ("deepseek-v3", "claude-sonnet-4-5")]
    messages = final[1].body["messages"]
    if final[1].model == "deepseek-v3":
        assert [m["reasoning_content"] for m in messages if m.get("tool_calls")] == [HM]
        assert [len(m["tool_calls"]) for m in messages if m.get("tool_calls")] == [2]
    else:
        blocks = next(message for message in messages if message["role"] == "assistant")["content"]
        assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
        assert blocks[0] == {"type": "thinking", "thinking": HM, "signature": SIGNATURE}
    for record in wire.records(upstream, "gpt-4o-mini"):
        assert HM not in json.dumps(record.body)
        assert SIGNATURE not in json.dumps(record.body)


def put_together(stream: Any) -> dict[str, Any]:
    """As clients do who know OpenAI's fields and `reasoning_content`."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": []}
    for chunk in stream:
        for choice in chunk.choices:
            for name in ("content", "reasoning_content"):
                message[name] += getattr(choice.delta, name, None) or ""
            for call in choice.delta.tool_calls or ():
                if call.index == len(message["tool_calls"]):
                    message["tool_calls"].append(
                        {"id": call.id, "type": "function", "function": {"name": "", "arguments": ""}}
                    )
                function = message["tool_calls"][call.index]["function"]
                function["name"] += call.function.name or ""
                function["arguments"] += call.function.arguments or ""
    return message


@MODELS
@BOTH
def test_chat_completions(model: str, streams: bool, proxy: Proxy, upstream: ThreadedServer) -> None:
    completions: Any = proxy.openai().chat.completions
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    request = {"model": model, "messages": messages, "tools": CHAT_TOOLS}
    if streams:
        first = put_together(completions.create(stream=True, **request))
    else:
        first = completions.create(**request).choices[0].message.model_dump(exclude_none=True)
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "4"} for call in first["tool_calls"]]
    messages += [first, *results]
    second = completions.create(model=model, messages=messages, tools=CHAT_TOOLS).choices[0].message
    assert second.content == ANSWER
    assert_given_back(upstream)


@MODELS
@BOTH
def test_anthropics_messages_as_claude_code_sends_them(
    model: str, streams: bool, proxy: Proxy, upstream: ThreadedServer
) -> None:
    """All blocks go back as they came, the results in one user message, with a mark for the cache and a reminder."""
    client: Any = proxy.anthropic().messages
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    request = {"model": model, "max_tokens": 4000, "tools": tools}
    if streams:
        with client.stream(messages=messages, **request) as stream:
            first = stream.get_final_message()
    else:
        first = client.create(messages=messages, **request)
    blocks = [block.model_dump(exclude_none=True) for block in first.content]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "4"}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    reminder = {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"}
    results[-1]["cache_control"] = {"type": "ephemeral"}
    messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [*results, reminder]}]
    second = client.create(messages=messages, **request)
    assert "".join(block.text for block in second.content if block.type == "text") == ANSWER
    assert_given_back(upstream)


@MODELS
@BOTH
def test_responses_as_codex_sends_them(model: str, streams: bool, proxy: Proxy, upstream: ThreadedServer) -> None:
    """Nothing is stored: every item goes back, reasoning too."""
    client: Any = proxy.openai().responses
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
    items: list[Any] = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
    request = {"model": model, "tools": tools, "store": False, "include": ["reasoning.encrypted_content"]}
    if streams:
        events = list(client.create(input=items, stream=True, **request))
        (first,) = [event.response for event in events if event.type == "response.completed"]
    else:
        first = client.create(input=items, **request)
    echo = [item.model_dump(exclude_none=True, exclude={"status"}) for item in first.output]
    calls = [item for item in echo if item["type"] == "function_call"]
    outputs = [{"type": "function_call_output", "call_id": call["call_id"], "output": "4"} for call in calls]
    second = client.create(input=[*items, *echo, *outputs], **request)
    assert second.output_text == ANSWER
    assert_given_back(upstream)


def test_calls_that_a_client_sends_one_by_one_are_one_turn_again(proxy: Proxy, upstream: ThreadedServer) -> None:
    completions: Any = proxy.openai().chat.completions
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    first = completions.create(model="deepseek", messages=messages, tools=CHAT_TOOLS).choices[0].message
    for number, call in enumerate(first.tool_calls):
        spoken = first.content if number == 0 else None
        messages.append({"role": "assistant", "content": spoken, "tool_calls": [call.model_dump()]})
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "4"})
    second = completions.create(model="deepseek", messages=messages, tools=CHAT_TOOLS).choices[0].message
    assert second.content == ANSWER
    assert_given_back(upstream)


def test_another_key_is_not_given_it(proxy: Proxy, upstream: ThreadedServer) -> None:
    """Counted ids, as these are, may be in anybody's conversation."""
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    create = {key: proxy.openai(proxy.add_key(key)).chat.completions.create for key in ("sk-ann", "sk-bob")}
    request: dict[str, Any] = {"model": "quiet-deepseek", "tools": CHAT_TOOLS}
    first: Any = create["sk-ann"](messages=messages, **request).choices[0].message
    messages.append(first.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "4"} for call in first.tool_calls]
    second: Any = create["sk-bob"](messages=messages, **request)
    assert second.choices[0].message.content == ANSWER
    assert HM not in json.dumps(wire.records(upstream, "deepseek-v3")[-1].body)
