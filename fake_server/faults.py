"""Errors a scenario asks for."""

from typing import Any

from fake_server.errors import error_body
from fake_server.request import ChatRequest
from fake_server.scenario import ErrorSpec

_CONTEXT_TOKENS = 8192
_DEFAULT_STATUS = 500
_MESSAGES = {
    400: "The request is not valid.",
    401: "Incorrect API key provided.",
    403: "The key has no access to this model.",
    404: "The model does not exist or you do not have access to it.",
    408: "The request took too long.",
    429: "Rate limit reached. Please try again later.",
}
_SERVER_MESSAGE = "The server had an error while processing your request."


def fault(spec: ErrorSpec | None, request: ChatRequest) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers of the error."""
    spec = spec or ErrorSpec()
    status = spec.status or (400 if spec.context_window else _DEFAULT_STATUS)
    code, param, message = spec.code, spec.param, spec.message
    if spec.context_window:
        code, param = code or "context_length_exceeded", param or "messages"
        message = message or _context_message(request)
    message = message or _MESSAGES.get(status, _SERVER_MESSAGE)
    headers = {} if spec.retry_after is None else {"Retry-After": f"{spec.retry_after}".removesuffix(".0")}
    return status, error_body(status, message, kind=spec.type, code=code, param=param), headers


def _context_message(request: ChatRequest) -> str:
    return (
        f"This model's maximum context length is {_CONTEXT_TOKENS} tokens. However, your messages resulted in "
        f"{max(request.prompt_tokens(), _CONTEXT_TOKENS + 1)} tokens. Please reduce the length of the messages."
    )
