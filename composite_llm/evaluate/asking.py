"""One request to a model, plain or composite, as a value: what it said, what it cost, or why it failed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import litellm

import composite_llm
from composite_llm.backend.litellm_errors import parsed_retry_after
from composite_llm.model.errors import CompositeError, NodeFailure
from composite_llm.model.trace import Trace

RETRYABLE = frozenset({402, 408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses of failures that may have passed when the same is asked again later."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request.

    Attributes:
        text: The answer; empty where it failed.
        seconds: Until it was whole, retries included.
        cost_usd: With all calls behind it; None where a price is unknown.
        prompt_tokens: Of all calls behind it.
        completion_tokens: Of all calls behind it.
        calls: How many were behind it.
        error: One sentence, without anything that a provider wrote; None where it went well.
        error_class: The class of the error.
        status_code: As a client of the proxy would see it.
        retry_after_s: Seconds that the provider asked to wait.
        trace: Of a composite.
        response: LiteLLM's, where it went well.
    """

    text: str
    seconds: float
    cost_usd: float | None = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 1
    error: str | None = None
    error_class: str | None = None
    status_code: int = 200
    retry_after_s: float | None = None
    trace: Trace | None = None
    response: Any = None


async def ask(model: str, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Reply:
    """Ask once; whatever goes wrong is in the reply.

    Args:
        model: A composite model string, or a LiteLLM model string.
        messages: The conversation.
        options: Options and call parameters.
    """
    # Composites are known to LiteLLM; what the application registered stays as it is.
    assert composite_llm.handler is not None
    parameters: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages], **options}
    began = time.perf_counter()
    try:
        response: Any = await litellm.acompletion(**parameters)
    except Exception as error:  # noqa: BLE001  # whatever LiteLLM and providers' libraries raise is this request's failure
        return _failed(error, time.perf_counter() - began)
    return _answered(model, response, time.perf_counter() - began)


def _answered(model: str, response: Any, seconds: float) -> Reply:
    trace = composite_llm.get_trace(response, None)
    usage = response.usage
    return Reply(
        text=response.choices[0].message.content or "",
        seconds=seconds,
        cost_usd=trace.cost_usd if trace is not None else _cost(response, model),
        prompt_tokens=int(getattr(usage, "prompt_tokens", 0) or 0),
        completion_tokens=int(getattr(usage, "completion_tokens", 0) or 0),
        calls=len(trace.calls) if trace is not None else 1,
        trace=trace,
        response=response,
    )


def _failed(error: Exception, seconds: float) -> Reply:
    trace = composite_llm.get_trace(error, None)
    status = getattr(error, "status_code", None)
    return Reply(
        text="",
        seconds=seconds,
        cost_usd=trace.cost_usd if trace is not None else 0.0,
        prompt_tokens=trace.usage.prompt_tokens if trace is not None else 0,
        completion_tokens=trace.usage.completion_tokens if trace is not None else 0,
        calls=len(trace.calls) if trace is not None else 1,
        error=error.message if isinstance(error, CompositeError) else type(error).__name__,
        error_class=type(error).__name__,
        status_code=status if isinstance(status, int) else 500,
        retry_after_s=_retry_after_s(error),
        trace=trace,
    )


def _cost(response: Any, model: str) -> float | None:
    """A plain model's, as LiteLLM tells it; it says zero for models without a price too, which is not zero."""
    cost = getattr(response, "_hidden_params", {}).get("response_cost")
    known = litellm.model_cost.get(model) or litellm.model_cost.get(model.split("/", 1)[-1]) or {}
    if not cost and "input_cost_per_token" not in known:
        return None
    return float(cost) if cost is not None else None


def _retry_after_s(error: Exception) -> float | None:
    """Of a composite the longest of its members', of which each may have asked to wait."""
    waits = [
        failed.failure.retry_after_s for failed in getattr(error, "failures", ()) if isinstance(failed, NodeFailure)
    ]
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    value = headers.get("retry-after") if headers is not None and hasattr(headers, "get") else None
    waits.append(parsed_retry_after(value) if isinstance(value, str) else None)
    return max((wait for wait in waits if wait is not None), default=None)


def provider_of(model: str) -> str | None:
    """LiteLLM's name of a model's provider."""
    try:
        return str(litellm.get_llm_provider(model)[1])
    except Exception:  # noqa: BLE001  # LiteLLM raises its BadRequestError for a name that it does not know
        return None
