"""Ollama's own API: https://github.com/ollama/ollama/blob/main/docs/api.md."""

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from typing_extensions import override

from fake_server.completion import Choice, Completion
from fake_server.formats.format import Chunk, ErrorFacts, Format
from fake_server.formats.ollama_request import read_chat_request, read_completion_request
from fake_server.formats.reading import arguments_of, bearer
from fake_server.pieces import pieces
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling

# A constant, as is the time that other formats tell.
_CREATED_AT = "2025-01-01T00:00:00.000000Z"
_DONE_REASONS = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}
_MESSAGES = {
    400: "invalid request",
    404: 'model "unknown" not found, try pulling it first',
    503: "server busy, please try again.  maximum pending requests exceeded",
}


class OllamaChatFormat(Format):
    """Lines of JSON; each is a whole object, the last one is done and counts."""

    stream_type = "application/x-ndjson"
    keepalive = b""

    @override
    def key(self, http: web.Request) -> str | None:
        return bearer(http)

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        return read_chat_request(body)

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        choice = completion.choices[0]
        message: dict[str, Any] = {"role": "assistant", "content": choice.content or choice.refusal or ""}
        if choice.reasoning:
            message["thinking"] = choice.reasoning
        if choice.tool_calls:
            message["tool_calls"] = _calls(choice)
        return {**self._line(completion, message), **_done(completion, choice, scenario)}

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        choice = completion.choices[0]
        for part, text in _deltas(choice, scenario):
            yield Chunk(
                {**self._line(completion, {"role": "assistant", "content": "", **part}), "done": False},
                token_ceiling(len(text)),
            )
        yield Chunk(
            {**self._line(completion, {"role": "assistant", "content": ""}), **_done(completion, choice, scenario)}
        )

    @override
    def frame(self, payload: Any, data: bytes) -> bytes:
        return data + b"\n"

    @override
    def message(self, status: int) -> str:
        return _MESSAGES.get(status, "an error was encountered while running the model")

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return {"error": facts.message}

    @override
    def wrong_key(self, given: str | None) -> ErrorFacts:
        return ErrorFacts(401, "unauthorized")

    def _line(self, completion: Completion, message: dict[str, Any]) -> dict[str, Any]:
        return {"model": completion.model, "created_at": _CREATED_AT, "message": message}


class OllamaGenerateFormat(OllamaChatFormat):
    """`/api/generate`: one prompt, one text."""

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        return read_completion_request(body)

    @override
    def _line(self, completion: Completion, message: dict[str, Any]) -> dict[str, Any]:
        thinking = {"thinking": message["thinking"]} if "thinking" in message else {}
        said = {"response": message["content"], **thinking}
        return {"model": completion.model, "created_at": _CREATED_AT, **said}


def _calls(choice: Choice) -> list[dict[str, Any]]:
    return [
        {"id": call["id"], "function": {"index": at, "name": call["function"]["name"], "arguments": arguments_of(call)}}
        for at, call in enumerate(choice.tool_calls)
    ]


def _deltas(choice: Choice, scenario: Scenario) -> Iterator[tuple[dict[str, Any], str]]:
    for piece in pieces(choice.reasoning or "", scenario.chunk_chars):
        yield {"thinking": piece}, piece
    for piece in pieces(choice.content or choice.refusal or "", scenario.chunk_chars):
        yield {"content": piece}, piece
    for at, call in enumerate(_calls(choice)):
        yield {"tool_calls": [call]}, choice.tool_calls[at]["function"]["arguments"]


def _done(completion: Completion, choice: Choice, scenario: Scenario) -> dict[str, Any]:
    done: dict[str, Any] = {"done": True, "done_reason": _DONE_REASONS[choice.finish_reason], "total_duration": 1}
    if scenario.no_usage or scenario.null_usage:
        return done
    counts = {
        "prompt_eval_count": completion.usage["prompt_tokens"],
        "eval_count": completion.usage["completion_tokens"],
    }
    return {**done, "load_duration": 1, "prompt_eval_duration": 1, "eval_duration": 1, **counts}
