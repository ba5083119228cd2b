"""Errors in the form of OpenAI's API."""

from typing import Any

_TYPES_AND_CODES: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    408: ("timeout_error", "request_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_SERVER_ERROR: tuple[str, str | None] = ("server_error", None)


class RequestError(Exception):
    """A request this server refuses; carries all that the answer needs."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Keep the facts of the refusal."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


def error_body(
    status: int,
    message: str,
    *,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """Return an OpenAI error body; type and code default to what OpenAI sends with the status."""
    fallback = _TYPES_AND_CODES[400] if status < 500 else _SERVER_ERROR
    default_kind, default_code = _TYPES_AND_CODES.get(status, fallback)
    return {
        "error": {
            "message": message,
            "type": kind if kind is not None else default_kind,
            "param": param,
            "code": code if code is not None else default_code,
        }
    }
