"""Our errors as LiteLLM's: each leaves as an exception that is both, so either `except` form catches it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import httpx
import litellm

from composite_llm.backend import compat
from composite_llm.model.errors import CompositeError, ContextWindowExceeded, FinalCallFailed, QuorumNotMet

PROVIDER = "composite"

_exceptions = litellm.exceptions

_CLASS_OF_STATUS: dict[int, type[Exception]] = {
    400: _exceptions.BadRequestError,
    402: compat.PAYMENT_REQUIRED.get() or _exceptions.BadRequestError,
    403: _exceptions.PermissionDeniedError,
    404: _exceptions.NotFoundError,
    408: _exceptions.Timeout,
    422: _exceptions.UnprocessableEntityError,
    429: _exceptions.RateLimitError,
    500: _exceptions.InternalServerError,
    502: compat.EXCEPTIONS["BadGatewayError"].get() or _exceptions.APIError,
    503: _exceptions.ServiceUnavailableError,
}


def to_litellm_error(error: CompositeError, model: str, *, cools: bool = True) -> Exception:
    """The exception to raise for `error`: of its class and of the LiteLLM class of its status.

    Args:
        error: Ours.
        model: The composite model string, for LiteLLM's `model` field.
        cools: Whether a Router may put the deployment into a cooldown for it.
    """
    combined = _combined(type(error), _litellm_class(error))
    return _build(combined, error, model, _NO_COOLDOWN if not cools else {})


_NO_COOLDOWN = {"retry-after": "0"}
"""A Router leaves a deployment out for as long as a failure's own headers say, where they say it."""


def _litellm_class(error: CompositeError) -> type[Exception]:
    kind = getattr(error, "kind", None)
    if isinstance(error, ContextWindowExceeded) or kind == "context_window":
        return _exceptions.ContextWindowExceededError
    if isinstance(error, QuorumNotMet | FinalCallFailed) and kind == "content_policy":
        return _exceptions.ContentPolicyViolationError
    if error.status_code in _CLASS_OF_STATUS:
        return _CLASS_OF_STATUS[error.status_code]
    return _exceptions.APIError


_classes: dict[tuple[type[CompositeError], type[Exception]], type[Exception]] = {}


def _combined(ours: type[CompositeError], theirs: type[Exception]) -> type[Exception]:
    if (ours, theirs) not in _classes:
        _classes[ours, theirs] = _made(ours, theirs)
    return _classes[ours, theirs]


def _made(ours: type[CompositeError], theirs: type[Exception]) -> type[Exception]:
    # Not a plain `class` statement: which LiteLLM class a quorum's failure is depends on the members' own.
    body = {"__module__": ours.__module__, "__str__": _text, "__repr__": _text, "__reduce__": _reduced}
    return type(ours.__name__, (ours, theirs), body)


def _reduced(self: Any) -> tuple[Any, ...]:
    ours, theirs = type(self).__bases__
    return _revived, (ours, theirs, self.__dict__)


def _revived(ours: type[CompositeError], theirs: type[Exception], state: dict[str, Any]) -> Exception:
    combined = _combined(ours, theirs)
    instance = combined.__new__(combined, state["message"])
    instance.__dict__.update(state)
    return instance


def _text(self: Any) -> str:
    return str(self.message)


def _build(combined: type[Exception], error: CompositeError, model: str, headers: Mapping[str, str]) -> Exception:
    """Made without either constructor's signature: LiteLLM's differ per class, ours carry fields that are copied."""
    message = _in_words_that_clients_know(error)
    instance: Any = combined.__new__(combined, message)
    request = httpx.Request("POST", "https://composite.invalid/v1")
    # LiteLLM's logging reads fields that only some of its classes have, such as a rate limit's type.
    instance.__dict__.update(_fields_of(_litellm_class(error), error, model, request))
    instance.__dict__.update(error.__dict__)
    instance.__dict__.update(
        message=message,
        status_code=error.status_code,
        model=model,
        llm_provider=PROVIDER,
        litellm_debug_info=None,
        max_retries=None,
        num_retries=None,
        headers=None,
        response=httpx.Response(error.status_code, headers=headers, request=request),
        request=request,
        request_id=None,
        body=None,
        code=None,
        param=getattr(error, "key", None),
        type=type(error).__name__,
    )
    instance.args = (message,)
    instance.trace = error.trace
    return instance  # type: ignore[no-any-return]


def _in_words_that_clients_know(error: CompositeError) -> str:
    """Clients behind HTTP know a prompt that is too long by OpenAI's sentence: LiteLLM's own, and frameworks such as CrewAI.

    Without it they take the 400 for another mistake, or send the same again instead of something shorter.
    """
    if _litellm_class(error) is not _exceptions.ContextWindowExceededError or _TOO_LONG in error.message.lower():
        return error.message
    return f"{error.message}; {_TOO_LONG} exceeded"


_TOO_LONG = "this model's maximum context length is"


def _fields_of(theirs: Any, error: CompositeError, model: str, request: httpx.Request) -> dict[str, Any]:
    """What an ordinary instance of LiteLLM's class holds."""
    required: dict[str, Any] = {"message": error.message, "model": model, "llm_provider": PROVIDER}
    taken = inspect.signature(theirs.__init__).parameters
    if "status_code" in taken:
        required["status_code"] = error.status_code
    if "response" in taken:
        required["response"] = httpx.Response(error.status_code, request=request)
    return dict(vars(theirs(**required)))
