"""One question to the proxy at any of its endpoints, plain or streamed, with the official clients; and what came back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.proxies import CLIENT, Proxy

QUESTION = "Which bridge is the oldest?"
ENDPOINTS = ("chat", "messages", "responses", "completions")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass
class Got:
    """What a client reads off an answer, whatever the endpoint."""

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tokens_in: int | None = None
    tokens_out: int | None = None
    stop: str | None = None
    call_id: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Way:
    """An endpoint, plain or streamed."""

    endpoint: str
    streamed: bool

    def __str__(self) -> str:
        return f"{self.endpoint}-{'streamed' if self.streamed else 'plain'}"

    def ask(
        self, proxy: Proxy, model: str, question: str = QUESTION, *, key: str = CLIENT, tools: bool = False, **more: Any
    ) -> Got:
        """One question."""
        if tools:
            more["tools"] = [_TOOL[self.endpoint]]
        return _ASK[self.endpoint](proxy, self.streamed, key, model, question, more)


WAYS = [Way(endpoint, streamed) for endpoint in ENDPOINTS for streamed in (False, True)]
_FUNCTION = {"name": "weather", "description": "Weather.", "parameters": WEATHER}
_TOOL: dict[str, dict[str, Any]] = {
    "chat": {"type": "function", "function": _FUNCTION},
    "messages": {"name": "weather", "description": "Weather.", "input_schema": WEATHER},
    "responses": {"type": "function", **_FUNCTION},
}


def _chat(proxy: Proxy, streamed: bool, key: str, model: str, question: str, more: dict[str, Any]) -> Got:
    completions: Any = proxy.openai(key).chat.completions
    request = {"model": model, "messages": [{"role": "user", "content": question}], **more}
    if not streamed:
        raw = completions.with_raw_response.create(**request)
        response = raw.parse()
        message = response.choices[0].message
        return Got(
            text=message.content or "",
            reasoning=getattr(message, "reasoning_content", None) or "",
            tools=[(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()],
            tokens_in=response.usage.prompt_tokens,
            tokens_out=response.usage.completion_tokens,
            stop=response.choices[0].finish_reason,
            call_id=raw.headers["x-litellm-call-id"],
        )
    got = Got()
    calls: dict[int, list[str]] = {}
    with completions.with_streaming_response.create(
        **request, stream=True, stream_options={"include_usage": True}
    ) as raw:
        got.call_id = raw.headers["x-litellm-call-id"]
        for chunk in raw.parse():
            if chunk.usage is not None:
                got.tokens_in, got.tokens_out = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            for choice in chunk.choices:
                got.text += choice.delta.content or ""
                got.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                got.stop = choice.finish_reason or got.stop
                for call in choice.delta.tool_calls or ():
                    name, arguments = calls.setdefault(call.index, ["", ""])
                    calls[call.index] = [
                        name + (call.function.name or ""),
                        arguments + (call.function.arguments or ""),
                    ]
    got.tools = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return got


def _messages(proxy: Proxy, streamed: bool, key: str, model: str, question: str, more: dict[str, Any]) -> Got:
    messages: Any = proxy.anthropic(key).messages
    request = {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": question}], **more}
    if streamed:
        with messages.stream(**request) as stream:
            message = stream.get_final_message()
            call_id = stream.response.headers["x-litellm-call-id"]
    else:
        raw = messages.with_raw_response.create(**request)
        message, call_id = raw.parse(), raw.headers["x-litellm-call-id"]
    return Got(
        text="".join(block.text for block in message.content if block.type == "text"),
        reasoning="".join(block.thinking for block in message.content if block.type == "thinking"),
        tools=[(block.name, block.input) for block in message.content if block.type == "tool_use"],
        tokens_in=message.usage.input_tokens,
        tokens_out=message.usage.output_tokens,
        stop=message.stop_reason,
        call_id=call_id,
    )


def _responses(proxy: Proxy, streamed: bool, key: str, model: str, question: str, more: dict[str, Any]) -> Got:
    responses: Any = proxy.openai(key).responses
    request = {"model": model, "input": question, **more}
    reasoning = ""
    if streamed:
        response = None
        with responses.with_streaming_response.create(**request, stream=True) as raw:
            call_id = raw.headers["x-litellm-call-id"]
            for event in raw.parse():
                if event.type == "response.reasoning_summary_text.delta":
                    reasoning += event.delta
                if event.type == "response.failed":
                    return Got(error=event.response.error.message, call_id=call_id)
                if event.type == "response.completed":
                    response = event.response
        assert response is not None
    else:
        raw = responses.with_raw_response.create(**request)
        response, call_id = raw.parse(), raw.headers["x-litellm-call-id"]
        for item in response.output:
            if item.type == "reasoning":
                reasoning += "".join(part.text for part in item.content or ())
    return Got(
        text="".join(p.text for item in response.output if item.type == "message" for p in item.content),
        reasoning=reasoning,
        tools=[(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"],
        tokens_in=response.usage.input_tokens,
        tokens_out=response.usage.output_tokens,
        stop=response.status,
        call_id=call_id,
    )


def _completions(proxy: Proxy, streamed: bool, key: str, model: str, question: str, more: dict[str, Any]) -> Got:
    completions: Any = proxy.openai(key).completions
    request = {"model": model, "prompt": question, **more}
    if not streamed:
        raw = completions.with_raw_response.create(**request)
        response = raw.parse()
        return Got(
            text=response.choices[0].text,
            tokens_in=response.usage.prompt_tokens,
            tokens_out=response.usage.completion_tokens,
            stop=response.choices[0].finish_reason,
            call_id=raw.headers["x-litellm-call-id"],
        )
    got = Got()
    with completions.with_streaming_response.create(
        **request, stream=True, stream_options={"include_usage": True}
    ) as raw:
        got.call_id = raw.headers["x-litellm-call-id"]
        for chunk in raw.parse():
            for choice in chunk.choices:
                got.text += choice.text or ""
                got.reasoning += getattr(choice, "reasoning_content", None) or ""
                got.stop = choice.finish_reason or got.stop
            if chunk.usage is not None and chunk.usage.total_tokens:
                got.tokens_in, got.tokens_out = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
    return got


_Asker = Callable[[Proxy, bool, str, str, str, dict[str, Any]], Got]
_ASK: dict[str, _Asker] = {"chat": _chat, "messages": _messages, "responses": _responses, "completions": _completions}
