"""LiteLLM's exceptions, as failures in our words. No upstream text gets through: it may quote prompts, answers and keys."""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import httpx
import litellm
import openai

from composite_llm.backend import compat
from composite_llm.backend.litellm_evidence import Proof, chain, error_event, proof_of
from composite_llm.backend.provider_messages import provider_message_of
from composite_llm.backend.transport import transport_cause
from composite_llm.model.errors import CompositeError, Failure, FailureKind, FinalCallFailed, QuorumNotMet

_log = logging.getLogger("composite_llm")

_UNLISTED: dict[str, FailureKind] = {
    "GuardrailRaisedException": "content_policy",
    "BlockedPiiEntityError": "content_policy",
    "ModifyResponseException": "content_policy",
    "SensitiveDataRouteException": "content_policy",
    "MidStreamFallbackError": "unavailable",
    "BadGatewayError": "unavailable",
    # A Router has nobody left to ask.
    "RouterRateLimitError": "rate_limited",
    "RouterRateLimitErrorBasic": "rate_limited",
}

KIND_OF: tuple[tuple[type[BaseException], FailureKind], ...] = (
    # The first that fits counts, so subclasses stand before their bases.
    *((found, kind) for name, kind in _UNLISTED.items() if (found := compat.EXCEPTIONS[name].get()) is not None),
    (litellm.exceptions.ContextWindowExceededError, "context_window"),
    (litellm.exceptions.ContentPolicyViolationError, "content_policy"),
    (litellm.exceptions.Timeout, "timed_out"),
    (litellm.exceptions.RateLimitError, "rate_limited"),
    (litellm.exceptions.BudgetExceededError, "rejected"),
    (litellm.exceptions.AuthenticationError, "authentication"),
    (litellm.exceptions.PermissionDeniedError, "authentication"),
    # LiteLLM 1.94 has no such class.
    (compat.MODEL_NOT_MAPPED.get() or litellm.exceptions.NotFoundError, "not_found"),
    (litellm.exceptions.NotFoundError, "not_found"),
    (litellm.exceptions.JSONSchemaValidationError, "malformed"),
    (litellm.exceptions.APIResponseValidationError, "malformed"),
    (litellm.exceptions.UnprocessableEntityError, "rejected"),
    (litellm.exceptions.BadRequestError, "rejected"),
    (litellm.exceptions.ServiceUnavailableError, "unavailable"),
    (litellm.exceptions.InternalServerError, "unavailable"),
    (litellm.exceptions.APIConnectionError, "unavailable"),
    (litellm.exceptions.APIError, "unavailable"),
    (litellm.exceptions.OpenAIError, "unavailable"),
    (litellm.exceptions.MockException, "unavailable"),
    (openai.APITimeoutError, "timed_out"),
    (openai.APIConnectionError, "unavailable"),
    (openai.BadRequestError, "rejected"),
    (openai.OpenAIError, "unavailable"),
    (httpx.TimeoutException, "timed_out"),
    (httpx.HTTPError, "unavailable"),
    (TimeoutError, "timed_out"),
    (OSError, "unavailable"),
)

_KIND_OF_STATUS: dict[int, FailureKind] = {
    400: "rejected",
    401: "authentication",
    402: "rejected",
    403: "authentication",
    404: "not_found",
    408: "timed_out",
    409: "rejected",
    413: "context_window",
    422: "rejected",
    429: "rate_limited",
    504: "timed_out",
}

_WORDS: dict[FailureKind, str] = {
    "rejected": "rejected the request",
    "unsendable": "not asked: the request could not be put into its form",
    "authentication": "refused the key",
    "not_found": "does not serve the model",
    "context_window": "the prompt is longer than its context window",
    "content_policy": "refused by its content policy",
    "rate_limited": "rate limited",
    "timed_out": "no reply in time",
    "unavailable": "unavailable",
    "malformed": "sent an answer that could not be read",
    "internal": "not asked: the call failed within this process",
}

_KIND_OF_PROOF: dict[Proof, FailureKind] = {
    "answered": "malformed",
    "unsendable": "unsendable",
    "internal": "internal",
}

_NO_KEY = "not asked: no key is set"

_DOUBTED: frozenset[FailureKind] = frozenset({"unavailable", "malformed", "timed_out", "rejected", "authentication"})
"""Kinds that LiteLLM also makes of an exception of its own code, with a status that nobody sent."""


def as_failure(error: BaseException, endpoint: str | None, *, answered: bool = False) -> Failure:
    """Any exception of a LiteLLM call as a failure: the provider's only where the exception proves that it was asked.

    Args:
        error: What was raised.
        endpoint: Host and port that were asked, where known.
        answered: A response, or its beginning, had come already.
    """
    cause = _cause(error)
    status_code = _status_code(cause)
    kind = _own_kind(error) or _kind(cause, status_code)
    proof = proof_of(error, answered=answered) if kind in _DOUBTED else None
    if proof == "no_key":
        named = type(_root(error)).__name__
        told = provider_message_of(error).sentence
        return Failure(
            "authentication", f"{_NO_KEY} ({named})", error_class=named, cause=_NO_KEY, provider_message=told
        )
    if proof in _KIND_OF_PROOF and kind != "authentication":
        kind, status_code, cause = _KIND_OF_PROOF[proof], None, _root(error)
    elif proof == "reached" and kind in ("unavailable", "malformed"):
        cause, status_code, kind = _told(error, cause, status_code, kind)
        if not any(map(_is_status_error, chain(error))) and (event := error_event(error)) is not None:
            # The status was the stream's, a 200; LiteLLM makes one up.
            status_code, kind = None, _kind_of_event(event, kind)
    if kind == "timed_out" and not any(map(_is_status_error, chain(error))):
        # LiteLLM's own 408 for a client library that waited long enough.
        status_code = None
    if kind == "internal":
        _log.error("a call failed within this process", exc_info=error)
    words = provider_message_of(error)
    kind = words.kind(kind)
    where = f"{endpoint} " if endpoint else ""
    code = f"HTTP {status_code}, " if status_code is not None and _has_http_status(cause) else ""
    broke = transport_cause(error) if not code and kind == "unavailable" else None
    why = f"{broke}, " if broke else code
    return Failure(
        kind,
        f"{where}{_WORDS.get(kind, 'failed')} ({why}{type(cause).__name__})",
        status_code=status_code,
        error_class=type(cause).__name__,
        retry_after_s=_retry_after_s(cause),
        cause=broke or (f"HTTP {status_code}" if code else _WORDS.get(kind, "failed")),
        provider_message=words.sentence,
        window=words.window,
        restriction=words.restriction,
    )


def _cause(error: BaseException) -> BaseException:
    original = getattr(error, "original_exception", None)
    return original if isinstance(original, BaseException) else error


def _own_kind(error: BaseException) -> FailureKind | None:
    """The kind that a composite gave its own failure, where LiteLLM led the call back to us."""
    own = next((link for link in chain(error) if isinstance(link, CompositeError)), None)
    if own is None:
        return None
    if isinstance(own, QuorumNotMet | FinalCallFailed):
        return own.kind
    return "internal" if own.status_code == 500 else None


def _root(error: BaseException) -> BaseException:
    """What it all came from, of the exceptions that are not LiteLLM's."""
    *_, last = [error, *(link for link in chain(error) if not _is_litellms(link))]
    return last


def _told(
    error: BaseException, cause: BaseException, status_code: int | None, kind: FailureKind
) -> tuple[BaseException, int | None, FailureKind]:
    """What really happened where LiteLLM made up a 500 for a connection that failed."""
    for link in chain(error):
        if _is_status_error(link):
            break
        if isinstance(link, openai.APIConnectionError | httpx.TransportError) and not _is_litellms(link):
            return link, None, "unavailable"
    return cause, status_code, kind


_KIND_OF_CODE: dict[Any, FailureKind] = {
    "content_policy_violation": "content_policy",
    "context_length_exceeded": "context_window",
}
"""OpenAI's own words in a refusal. LiteLLM looks for them in the text, where the SDK's third release puts them no more."""

_KIND_OF_EVENT: dict[Any, FailureKind] = {
    **_KIND_OF_CODE,
    "insufficient_quota": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
}


def _kind_of_event(event: Any, kind: FailureKind) -> FailureKind:
    """By the code that some servers put into it: a status, or OpenAI's word."""
    code = event.get("code") if isinstance(event, Mapping) else None
    if isinstance(code, int | str) and str(code).isdecimal():
        return _KIND_OF_STATUS.get(int(code), kind)
    return _KIND_OF_EVENT.get(code, kind) if isinstance(code, str) else kind


def _is_status_error(error: BaseException) -> bool:
    return isinstance(error, openai.APIStatusError | httpx.HTTPStatusError) and not _is_litellms(error)


def _is_litellms(error: BaseException) -> bool:
    return type(error).__module__.startswith("litellm.")


def _kind(error: BaseException, status_code: int | None) -> FailureKind:
    if (
        isinstance(error, litellm.exceptions.BadRequestError)
        and (code := getattr(error, "code", None)) in _KIND_OF_CODE
    ):
        return _KIND_OF_CODE[code]
    for known, kind in KIND_OF:
        if isinstance(error, known):
            # A bare APIError's own status says more than its class, and LiteLLM makes a BadRequestError of every OpenAI
            # error of the type `invalid_request_error`, a refused key's 401 included.
            if kind in ("unavailable", "rejected") and status_code in _KIND_OF_STATUS and _has_http_status(error):
                return _KIND_OF_STATUS[status_code]
            return kind
    if status_code is not None:
        return _KIND_OF_STATUS.get(status_code, "unavailable")
    return "malformed" if isinstance(error, ValueError | TypeError | KeyError | AttributeError) else "unavailable"


def _has_http_status(error: BaseException) -> bool:
    # LiteLLM gives connection errors and timeouts a status of its own making.
    return not isinstance(
        error, litellm.exceptions.APIConnectionError | litellm.exceptions.Timeout | openai.APIConnectionError
    )


def _status_code(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    try:
        return int(status) if status is not None else None
    except (TypeError, ValueError):
        return None


def _retry_after_s(error: BaseException) -> float | None:
    headers: Any = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    value = headers.get("retry-after") if headers is not None and hasattr(headers, "get") else None
    return parsed_retry_after(value) if isinstance(value, str) else None


def parsed_retry_after(value: str) -> float | None:
    """Seconds to wait from a `Retry-After` header: a number of them, or an HTTP date (RFC 9110, 10.2.3)."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
            # All three forms of an HTTP date are in GMT, and one of them does not say so.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    if seconds != seconds or seconds == float("inf"):  # not a number
        return None
    return max(seconds, 0.0)
