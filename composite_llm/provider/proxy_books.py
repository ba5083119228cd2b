"""What the proxy charges for a run that did not end well, where LiteLLM does not find it by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.run import Run


@dataclass(slots=True)
class _Request:
    """One request of the proxy.

    Attributes:
        spent: Tokens of the last run that failed in it, and the money of all that failed.
        failed_usd: That money, as far as it is known.
    """

    spent: tuple[litellm.Usage, float | None] | None = None
    failed_usd: float = 0.0


_ADDITIONAL = "additional_response_cost"
"""LiteLLM adds it to the price of whatever answers."""

_request: ContextVar[_Request | None] = ContextVar("composite_proxy_request", default=None)


class ProxyBooks(CustomLogger):
    """Follows a request of the proxy from before its first call to after its failure."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> None:
        """LiteLLM's proxy asks it before each request."""
        _request.set(_Request())

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """LiteLLM's proxy asks it before it charges a failed request; of `/v1/completions` it brings no record."""
        request = _request.get()
        if request is not None and request.spent is not None and not request_data.get("response_cost"):
            request_data["combined_usage_object"], request_data["response_cost"] = request.spent


def install_books() -> None:
    """Put them before LiteLLM's other callbacks, the one that charges among them; once."""
    if not any(isinstance(callback, ProxyBooks) for callback in litellm.callbacks):
        litellm.callbacks.insert(0, ProxyBooks())


def note_unfinished(usage: litellm.Usage, cost_usd: float | None, logging_obj: Any, *, failed: bool) -> None:
    """What a run of this request spent before it failed or was cut off.

    The proxy charges a request once, by what answered it, and after a failure a Router may have another model answer:
    that one is charged with what the failed run spent too.
    """
    request = _request.get()
    if request is None:
        return
    request.spent = (usage, with_failed(cost_usd))
    if failed:
        request.failed_usd += cost_usd or 0.0
        with contextlib.suppress(Exception):  # accounting must not hide why the run ended
            logging_obj.model_call_details[_ADDITIONAL] = request.failed_usd


def take_over_failed(logging_obj: Any) -> None:
    """A composite's own answer names the whole cost; LiteLLM must not add the failed runs' to it once more."""
    if _request.get() is not None:
        with contextlib.suppress(Exception):  # as above
            logging_obj.model_call_details.pop(_ADDITIONAL, None)


def with_failed(cost_usd: float | None) -> float | None:
    """A run's cost, and that of those that failed before it in the same request of the proxy."""
    request = _request.get()
    return cost_usd if request is None or cost_usd is None else cost_usd + request.failed_usd


@contextlib.contextmanager
def charged_while_it_runs(run: Run, logging_obj: Any) -> Iterator[None]:
    """Let LiteLLM's record of a streamed response ask the run what it has spent.

    Of a client that hangs up LiteLLM charges what the chunks until then say, before it closes the stream. At
    `/v1/responses` it makes a response of them that has lost the cost, and would price that at 0.
    """
    bridged = getattr(logging_obj, "call_type", None) == "aresponses"
    if not bridged or not hasattr(logging_obj, "response_cost_calculator"):
        yield
        return
    logging_obj.response_cost_calculator = lambda *_, **__: with_failed(run.spent_usd)
    try:
        yield
    except Exception:
        # Another model may answer in its place, at its own price.
        del logging_obj.response_cost_calculator
        raise
