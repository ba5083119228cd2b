"""OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from aiohttp import web
from typing_extensions import override

from fake_server.completion import CREATED, Choice, Completion
from fake_server.formats.format import Chunk, ErrorFacts
from fake_server.formats.openai import OpenAIFormat
from fake_server.formats.responses_request import read_responses_request
from fake_server.pieces import pieces
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling
from fake_server.usage import Usage


class ResponsesFormat(OpenAIFormat):
    """Items of output, named events in streams."""

    end = b""

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        return read_responses_request(body)

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        return _response(completion, scenario)

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        numbers = count()
        for chunk in _events(completion, scenario):
            chunk.payload["sequence_number"] = next(numbers)
            yield chunk

    @override
    def frame(self, payload: Any, data: bytes) -> bytes:
        return f"event: {payload.get('type')}\ndata: ".encode() + data + b"\n\n"

    @override
    def stream_error(self, facts: ErrorFacts, completion: Completion) -> Any:
        return {"type": "error", "code": facts.code, "message": facts.message, "param": facts.param}


def _response(completion: Completion, scenario: Scenario) -> dict[str, Any]:
    choice = completion.choices[0]
    cut = choice.finish_reason == "length"
    unknown = scenario.no_usage or scenario.null_usage
    return {
        **_envelope(completion, "incomplete" if cut else "completed"),
        "output": [item for item, _ in _items(completion, scenario)],
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "usage": None if unknown else _usage(completion.usage),
    }


def _envelope(completion: Completion, status: str) -> dict[str, Any]:
    return {
        "id": completion.id.replace("chatcmpl-", "resp_"),
        "object": "response",
        "created_at": CREATED,
        "model": completion.model,
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]},
        "total_tokens": usage["total_tokens"],
    }


_Item = dict[str, Any]
_Steps = Iterable[tuple[dict[str, Any], str]]
"""Events that make up an item, each with the text that it brings."""


def _items(completion: Completion, scenario: Scenario) -> Iterator[tuple[_Item, _Steps]]:
    """Each item of the output, whole, and how it comes in a stream."""
    choice, number = completion.choices[0], completion.id.removeprefix("chatcmpl-")
    if choice.reasoning:
        yield _reasoning(choice, f"rs_{number}", scenario)
    if choice.content or choice.refusal:
        yield _message(choice, f"msg_{number}", scenario)
    for at, call in enumerate(choice.tool_calls):
        yield _function_call(call, f"fc_{number}{at}", scenario)


def _reasoning(choice: Choice, identifier: str, scenario: Scenario) -> tuple[_Item, _Steps]:
    summary = {"type": "summary_text", "text": choice.reasoning}
    sealed = next((block["signature"] for block in choice.thinking_blocks if "signature" in block), None)
    item = {"type": "reasoning", "id": identifier, "summary": [summary], "encrypted_content": sealed}
    kind = "response.reasoning_summary_text.delta"
    texts = pieces(choice.reasoning or "", scenario.chunk_chars)
    return item, (({"type": kind, "summary_index": 0, "delta": text}, text) for text in texts)


def _message(choice: Choice, identifier: str, scenario: Scenario) -> tuple[_Item, _Steps]:
    kind, name = ("output_text", "text") if choice.content else ("refusal", "refusal")
    said = choice.content or choice.refusal or ""
    part = {"type": kind, name: said, **({"annotations": []} if name == "text" else {})}
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    item = {"type": "message", "id": identifier, "role": "assistant", "status": status, "content": [part]}
    return item, _message_steps({**part, name: ""}, part, pieces(said, scenario.chunk_chars))


def _message_steps(empty: _Item, part: _Item, texts: Iterable[str]) -> Iterator[tuple[dict[str, Any], str]]:
    yield {"type": "response.content_part.added", "content_index": 0, "part": empty}, ""
    for text in texts:
        yield {"type": f"response.{part['type']}.delta", "content_index": 0, "delta": text}, text
    yield {"type": "response.content_part.done", "content_index": 0, "part": part}, ""


def _function_call(call: dict[str, Any], identifier: str, scenario: Scenario) -> tuple[_Item, _Steps]:
    function = call["function"]
    item = {"type": "function_call", "id": identifier, "call_id": call["id"], "status": "completed", **function}
    return item, _call_steps(function["arguments"], scenario.tool_argument_chars)


def _call_steps(arguments: str, size: Any) -> Iterator[tuple[dict[str, Any], str]]:
    kind = "response.function_call_arguments"
    for text in pieces(arguments, size):
        yield {"type": f"{kind}.delta", "delta": text}, text
    yield {"type": f"{kind}.done", "arguments": arguments}, ""


_UNFINISHED: dict[str, dict[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}


def _events(completion: Completion, scenario: Scenario) -> Iterator[Chunk]:
    yield Chunk({"type": "response.created", "response": _envelope(completion, "in_progress")})
    for index, (item, steps) in enumerate(_items(completion, scenario)):
        place = {"output_index": index}
        unfinished = {**item, **_UNFINISHED[item["type"]]}
        yield Chunk({"type": "response.output_item.added", **place, "item": unfinished})
        for step, text in steps:
            yield Chunk({**step, **place, "item_id": item["id"]}, token_ceiling(len(text)))
        yield Chunk({"type": "response.output_item.done", **place, "item": item})
    whole = _response(completion, scenario)
    yield Chunk({"type": f"response.{whole['status']}", "response": whole})
