"""OpenAI's chat completions, as it and the servers that follow it speak them."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web
from typing_extensions import override

from fake_server.completion import Completion
from fake_server.errors import error_body
from fake_server.formats.format import Chunk, ErrorFacts, Format
from fake_server.formats.openai_body import plain_body
from fake_server.formats.openai_stream import make_chunks
from fake_server.formats.reading import bearer
from fake_server.request import ChatRequest, read_request
from fake_server.scenario import Scenario

_MESSAGES = {
    400: "The request is not valid.",
    401: "Incorrect API key provided.",
    403: "The key has no access to this model.",
    404: "The model does not exist or you do not have access to it.",
    408: "The request took too long.",
    429: "Rate limit reached. Please try again later.",
}
_SERVER_MESSAGE = "The server had an error while processing your request."


class OpenAIFormat(Format):
    """OpenAI's own: https://platform.openai.com/docs/api-reference/chat."""

    end = b"data: [DONE]\n\n"

    @override
    def key(self, http: web.Request) -> str | None:
        return bearer(http)

    @override
    def read(self, http: web.Request, body: object) -> ChatRequest:
        return read_request(body)

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        return plain_body(completion, scenario)

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        return make_chunks(completion, scenario, include_usage=request.include_usage)

    @override
    def message(self, status: int) -> str:
        return _MESSAGES.get(status, _SERVER_MESSAGE)

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return error_body(facts.status, facts.message, kind=facts.kind, code=facts.code, param=facts.param)

    @override
    def wrong_key(self, given: str | None) -> ErrorFacts:
        return ErrorFacts(401, "Incorrect API key provided." if given else "You didn't provide an API key.")


class VllmFormat(OpenAIFormat):
    """vLLM: errors are named for their classes, and their code is the status."""

    _KINDS: Mapping[int, str] = {400: "BadRequestError", 404: "NotFoundError", 422: "UnprocessableEntityError"}

    @override
    def error(self, facts: ErrorFacts) -> Any:
        if facts.status == 401:
            return {"error": "Unauthorized"}
        kind = facts.kind or self._KINDS.get(facts.status, "InternalServerError")
        error = {"message": facts.message, "type": kind, "param": facts.param, "code": facts.status}
        return {"error": error}


class LlamaCppFormat(OpenAIFormat):
    """llama.cpp's server: the status is the code; a plain answer tells its timings."""

    _KINDS: Mapping[int, str] = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        501: "not_supported_error",
        503: "unavailable_error",
    }

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        body = plain_body(completion, scenario)
        timings = {
            "prompt_n": completion.usage["prompt_tokens"],
            "prompt_ms": 1.0,
            "predicted_n": completion.usage["completion_tokens"],
            "predicted_ms": 1.0,
        }
        return {**body, "timings": timings}

    @override
    def message(self, status: int) -> str:
        return "Loading model" if status == 503 else super().message(status)

    @override
    def error(self, facts: ErrorFacts) -> Any:
        kind = facts.kind or self._KINDS.get(facts.status, "server_error")
        return {"error": {"code": facts.status, "message": facts.message, "type": kind}}


class LmStudioFormat(OpenAIFormat):
    """LM Studio: an error is a sentence; in a stream it is an event of its own, behind a status of 200."""

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        return {**plain_body(completion, scenario), "stats": {}, "system_fingerprint": completion.model}

    @override
    def frame(self, payload: Any, data: bytes) -> bytes:
        event = b"event: error\n" if "error" in payload else b""
        return event + super().frame(payload, data)

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return {"error": facts.message}

    @override
    def stream_error(self, facts: ErrorFacts, completion: Completion) -> Any:
        return {"error": {"message": facts.message}}


class HuggingFaceFormat(OpenAIFormat):
    """Hugging Face's router, and the text generation servers behind it."""

    _KINDS: Mapping[int, str] = {422: "validation", 424: "generation", 429: "overloaded"}

    @override
    def message(self, status: int) -> str:
        match status:
            case 402:
                return (
                    "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get "
                    "20x more monthly included credits."
                )
            case 429:
                return "Model is overloaded"
            case _:
                return super().message(status)

    @override
    def error(self, facts: ErrorFacts) -> Any:
        kind = facts.kind or self._KINDS.get(facts.status)
        return {"error": facts.message} if kind is None else {"error": facts.message, "error_type": kind}

    @override
    def wrong_key(self, given: str | None) -> ErrorFacts:
        return ErrorFacts(401, "Invalid username or password.")


class OpenRouterFormat(OpenAIFormat):
    """OpenRouter: comments while it works; an error in a stream is a chunk that ends it."""

    keepalive = b": OPENROUTER PROCESSING\n\n"

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return {"error": {"message": facts.message, "code": facts.status}}

    @override
    def stream_error(self, facts: ErrorFacts, completion: Completion) -> Any:
        choices: list[dict[str, Any]] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
        envelope = completion.envelope("chat.completion.chunk", choices)
        return {**envelope, "error": {"code": "server_error", "message": facts.message}}


class GoogleFormat(OpenAIFormat):
    """Google's endpoint for OpenAI's clients: its own errors, in a list."""

    @override
    def error(self, facts: ErrorFacts) -> Any:
        return [google_error(facts)]


_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def google_error(facts: ErrorFacts) -> dict[str, Any]:
    """Return an error as Google's services write it; see https://cloud.google.com/apis/design/errors."""
    kind = facts.kind or _GOOGLE_STATUSES.get(facts.status, "INTERNAL" if facts.status >= 500 else "INVALID_ARGUMENT")
    error: dict[str, Any] = {"code": facts.status, "message": facts.message, "status": kind}
    if facts.retry_after is not None:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{facts.retry_after}s"}
        error["details"] = [retry]
    elif facts.code is not None:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": facts.code}]
    return {"error": error}
