"""What the proxy charges for a run that did not end well, where LiteLLM does not find it by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import litellm

from composite_llm.proxy.request import current_request
from composite_llm.run import Run

_ADDITIONAL = "additional_response_cost"
"""LiteLLM adds it to the price of whatever answers."""


def note_unfinished(usage: litellm.Usage, cost_usd: float | None, logging_obj: Any, *, failed: bool) -> None:
    """What a run of this request spent before it failed or was cut off.

    The proxy charges a request once, by what answered it, and after a failure a Router may have another model answer:
    that one is charged with what the failed run spent too.
    """
    request = current_request()
    if request is None:
        return
    request.spent = (usage, with_failed(cost_usd))
    if failed:
        request.failed_usd += cost_usd or 0.0
        with contextlib.suppress(Exception):  # accounting must not hide why the run ended
            logging_obj.model_call_details[_ADDITIONAL] = request.failed_usd


def take_over_failed(logging_obj: Any) -> None:
    """A composite's own answer names the whole cost; LiteLLM must not add the failed runs' to it once more."""
    if current_request() is not None:
        with contextlib.suppress(Exception):  # as above
            logging_obj.model_call_details.pop(_ADDITIONAL, None)


def with_failed(cost_usd: float | None) -> float | None:
    """A run's cost, and that of those that failed before it in the same request of the proxy."""
    request = current_request()
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
