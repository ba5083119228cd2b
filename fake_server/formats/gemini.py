"""Google's Gemini API: https://ai.google.dev/api/generate-content."""

from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from typing_extensions import override

from fake_server.completion import Choice, Completion
from fake_server.formats.format import Chunk, ErrorFacts, Format
from fake_server.formats.gemini_request import read_generate_request
from fake_server.formats.openai import google_error
from fake_server.formats.reading import arguments_of
from fake_server.pieces import pieces
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario
from fake_server.tokens import token_ceiling
from fake_server.usage import Usage

_FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_MESSAGES = {
    400: "Request contains an invalid argument.",
    403: "The caller does not have permission",
    404: "The model is not found for API version v1beta, or is not supported for generateContent.",
    429: "You exceeded your current quota, please check your plan and billing details.",
    503: "The model is overloaded. Please try again later.",
    504: "Deadline expired before operation could complete.",
}


class GeminiFormat(Format):
    """Candidates made of parts; a stream repeats the whole answer's form for every piece."""

    @override
    def key(self, http: web.Request) -> str | None:
        return http.headers.get("x-goog-api-key") or http.query.get("key")

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        return read_generate_request(http.match_info["model"], http.match_info["method"], body)

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        refused = next((choice.refusal for choice in completion.choices if choice.refusal is not None), None)
        if refused is not None:
            feedback = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": refused}}
            return {**feedback, **_told(completion, scenario, _usage(completion.usage)), **_names(completion)}
        candidates = [
            _candidate(choice, [part for part, _ in _parts(choice)], ended=True) for choice in completion.choices
        ]
        return {"candidates": candidates, **_told(completion, scenario, _usage(completion.usage)), **_names(completion)}

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        if any(choice.refusal is not None for choice in completion.choices):
            return [Chunk(self.body(completion, scenario))]
        return _chunks(completion, scenario)

    @override
    def frame(self, payload: Any, data: bytes) -> bytes:
        return b"data: " + data + b"\r\n\r\n"

    @override
    def message(self, status: int) -> str:
        return _MESSAGES.get(status, "An internal error has occurred. Please retry.")

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return google_error(facts)

    @override
    def wrong_key(self, given: str | None) -> ErrorFacts:
        if given:
            return ErrorFacts(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")
        return ErrorFacts(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
        )


def _names(completion: Completion) -> dict[str, Any]:
    return {"modelVersion": completion.model, "responseId": completion.id.removeprefix("chatcmpl-")}


def _candidate(choice: Choice, parts: list[dict[str, Any]], *, ended: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": choice.index}
    if ended:
        candidate["finishReason"] = _FINISH_REASONS[choice.finish_reason]
    return candidate


def _parts(choice: Choice) -> Iterator[tuple[dict[str, Any], str]]:
    """Each part of an answer with its text."""
    if choice.reasoning:
        yield {"text": choice.reasoning, "thought": True}, choice.reasoning
    if choice.content:
        yield {"text": choice.content}, choice.content
    yield from _call_parts(choice)


def _call_parts(choice: Choice) -> Iterator[tuple[dict[str, Any], str]]:
    for call in choice.tool_calls:
        function = {"name": call["function"]["name"], "args": arguments_of(call), "id": call["id"]}
        part: dict[str, Any] = {"functionCall": function}
        google = call.get("extra_content", {}).get("google", {})
        if "thought_signature" in google:
            part["thoughtSignature"] = google["thought_signature"]
        yield part, call["function"]["name"] + call["function"]["arguments"]


def _told(completion: Completion, scenario: Scenario, usage: dict[str, Any]) -> dict[str, Any]:
    if scenario.no_usage:
        return {}
    return {"usageMetadata": None if scenario.null_usage else usage}


def _usage(usage: Usage, sent: int | None = None) -> dict[str, Any]:
    """Thoughts are counted beside the candidates; while a stream runs the counts grow."""
    total = usage["completion_tokens"] if sent is None else min(sent, usage["completion_tokens"])
    thoughts = min(usage["completion_tokens_details"]["reasoning_tokens"], total)
    told = {
        "promptTokenCount": usage["prompt_tokens"],
        "candidatesTokenCount": total - thoughts,
        "totalTokenCount": usage["prompt_tokens"] + total,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage["prompt_tokens"]}],
    }
    if thoughts:
        told["thoughtsTokenCount"] = thoughts
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    if cached:
        told["cachedContentTokenCount"] = cached
    return told


def _chunks(completion: Completion, scenario: Scenario) -> Iterator[Chunk]:
    sent = 0
    for choice in completion.choices:
        for part, text in _streamed_parts(choice, scenario):
            tokens = token_ceiling(len(text))
            sent += tokens
            yield _chunk(
                completion, scenario, _candidate(choice, [part], ended=False), _usage(completion.usage, sent), tokens
            )
    for choice in completion.choices:
        candidate = _candidate(choice, [{"text": ""}], ended=True)
        yield _chunk(completion, scenario, candidate, _usage(completion.usage), 0)


def _streamed_parts(choice: Choice, scenario: Scenario) -> Iterator[tuple[dict[str, Any], str]]:
    for piece in pieces(choice.reasoning or "", scenario.chunk_chars):
        yield {"text": piece, "thought": True}, piece
    for piece in pieces(choice.content or "", scenario.chunk_chars):
        yield {"text": piece}, piece
    yield from _call_parts(choice)


def _chunk(
    completion: Completion, scenario: Scenario, candidate: dict[str, Any], usage: dict[str, Any], tokens: int
) -> Chunk:
    told = _told(completion, scenario, usage)
    return Chunk({"candidates": [candidate], **told, **_names(completion)}, tokens)
