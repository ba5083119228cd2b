"""Anthropic's Messages: https://docs.claude.com/en/api/messages."""

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from typing_extensions import override

from fake_server.completion import Choice, Completion
from fake_server.errors import RequestError
from fake_server.formats.anthropic_request import read_messages_request
from fake_server.formats.format import Chunk, ErrorFacts, Format
from fake_server.formats.reading import arguments_of, bearer
from fake_server.pieces import pieces
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling
from fake_server.usage import Usage

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    400: "The request is not valid.",
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: not found",
    429: "This request would exceed your organization's rate limit of 50 requests per minute.",
    529: "Overloaded",
}
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class AnthropicFormat(Format):
    """Blocks of content, named events in streams."""

    keepalive = b'event: ping\ndata: {"type":"ping"}\n\n'

    @override
    def key(self, http: web.Request) -> str | None:
        return http.headers.get("x-api-key") or bearer(http)

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        if "anthropic-version" not in http.headers:
            raise RequestError(400, "anthropic-version: header is required")
        return read_messages_request(body)

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        choice = completion.choices[0]
        usage = None if scenario.null_usage else _usage(completion.usage)
        body = _envelope(completion, _blocks(choice), _STOP_REASONS[choice.finish_reason], usage)
        if scenario.no_usage:
            del body["usage"]
        return body

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        return _events(completion, scenario)

    @override
    def frame(self, payload: Any, data: bytes) -> bytes:
        return f"event: {payload.get('type')}\ndata: ".encode() + data + b"\n\n"

    @override
    def message(self, status: int) -> str:
        return _MESSAGES.get(status, "Internal server error")

    @override
    def error(self, facts: ErrorFacts) -> Any:
        kind = facts.kind or _KINDS.get(facts.status, "api_error" if facts.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": facts.message}}

    @override
    def wrong_key(self, given: str | None) -> ErrorFacts:
        return ErrorFacts(401, "invalid x-api-key" if given else "x-api-key header is required")


def _envelope(completion: Completion, content: list[Any], stop_reason: str | None, usage: Any) -> dict[str, Any]:
    return {
        "id": completion.id.replace("chatcmpl-", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic's `input_tokens` are those that were neither read from the cache nor written to it."""
    read = usage["prompt_tokens_details"]["cached_tokens"]
    written = usage.get("cache_creation_input_tokens", 0)
    return {
        "input_tokens": max(0, usage["prompt_tokens"] - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage["completion_tokens"],
    }


def _blocks(choice: Choice) -> list[dict[str, Any]]:
    blocks = list(choice.thinking_blocks)
    if _text(choice):
        blocks.append({"type": "text", "text": _text(choice)})
    blocks += [_tool_use(call, arguments_of(call)) for call in choice.tool_calls]
    return blocks


def _text(choice: Choice) -> str:
    return choice.content or choice.refusal or ""


def _tool_use(call: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": arguments}


def _events(completion: Completion, scenario: Scenario) -> Iterator[Chunk]:
    choice = completion.choices[0]
    usage = _usage(completion.usage)
    start = _envelope(completion, [], None, {**usage, "output_tokens": 1})
    if scenario.no_usage or scenario.null_usage:
        # The official client's types have no message without usage.
        start["usage"] = {"input_tokens": 0, "output_tokens": 0}
    yield Chunk({"type": "message_start", "message": start})
    for index, (block, deltas) in enumerate(_streamed_blocks(choice, scenario)):
        yield Chunk({"type": "content_block_start", "index": index, "content_block": block})
        for delta, text in deltas:
            payload = {"type": "content_block_delta", "index": index, "delta": delta}
            yield Chunk(payload, token_ceiling(len(text)))
        yield Chunk({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": _STOP_REASONS[choice.finish_reason], "stop_sequence": None}
    told = {} if scenario.no_usage else {"usage": None if scenario.null_usage else usage}
    yield Chunk({"type": "message_delta", "delta": ending, **told})
    yield Chunk({"type": "message_stop"})


_Delta = tuple[dict[str, Any], str]


def _streamed_blocks(choice: Choice, scenario: Scenario) -> Iterator[tuple[dict[str, Any], Iterable[_Delta]]]:
    for block in choice.thinking_blocks:
        if block["type"] == "thinking":
            yield {"type": "thinking", "thinking": "", "signature": ""}, _thinking_deltas(block, scenario)
        else:
            yield block, ()
    if _text(choice):
        texts = pieces(_text(choice), scenario.chunk_chars)
        yield {"type": "text", "text": ""}, (({"type": "text_delta", "text": piece}, piece) for piece in texts)
    for call in choice.tool_calls:
        arguments = pieces(call["function"]["arguments"], scenario.tool_argument_chars)
        deltas = (({"type": "input_json_delta", "partial_json": piece}, piece) for piece in arguments)
        yield _tool_use(call, {}), deltas


def _thinking_deltas(block: dict[str, Any], scenario: Scenario) -> Iterator[_Delta]:
    for piece in pieces(block["thinking"], scenario.chunk_chars):
        yield {"type": "thinking_delta", "thinking": piece}, piece
    yield {"type": "signature_delta", "signature": block["signature"]}, ""
