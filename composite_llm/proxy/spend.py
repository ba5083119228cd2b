"""What the proxy charges for a run that did not end well, where LiteLLM does not find it by itself."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import litellm

from composite_llm.backend import compat
from composite_llm.proxy.request import ProxyRequest


def note_unfinished(
    request: ProxyRequest, usage: litellm.Usage, cost_usd: float | None, logging_obj: Any, *, failed: bool
) -> None:
    """What a run of this request spent before it failed or was cut off.

    The proxy charges a request once, by what answered it, and after a failure a Router may have another model answer:
    that one is charged with what the failed run spent too.
    """
    request.spent = (usage, with_failed(request, cost_usd))
    if failed:
        request.failed_usd += cost_usd or 0.0
        with contextlib.suppress(Exception):  # accounting must not hide why the run ended
            compat.CALL_DETAILS.of(logging_obj)[compat.ADDITIONAL_COST] = request.failed_usd


def take_over_failed(logging_obj: Any) -> None:
    """A composite's own answer names the whole cost; LiteLLM must not add the failed runs' to it once more."""
    with contextlib.suppress(Exception):  # as above
        compat.CALL_DETAILS.of(logging_obj).pop(compat.ADDITIONAL_COST, None)


def with_failed(request: ProxyRequest, cost_usd: float | None) -> float | None:
    """A run's cost, and that of those that failed before it in the same request of the proxy."""
    return None if cost_usd is None else cost_usd + request.failed_usd


def take_over_stream(logging_obj: Any) -> bool:
    """Have LiteLLM leave it to us to book a stream whose client hangs up; False where it cannot be had.

    It would book what the chunks until then say, before it has closed the stream: nothing where none had been sent, and
    the final call for nothing, since what that has cost is not known before it is closed. Of a streamed
    `/v1/completions` it books nothing in any case.
    """
    details = compat.CALL_DETAILS.of(logging_obj)
    if not isinstance(details, dict) or compat.DISPATCH_SUCCESS.of(logging_obj) is None:
        return False
    details[compat.DISPATCHED] = True
    return True


def give_back_stream(logging_obj: Any) -> None:
    """The stream has ended by itself, and is booked by LiteLLM as any other."""
    compat.CALL_DETAILS.of(logging_obj).pop(compat.DISPATCHED, None)


async def book_stream(logging_obj: Any, response: litellm.ModelResponse) -> None:
    """Book a stream that was cut off, through the call by which LiteLLM books all streams."""
    give_back_stream(logging_obj)
    # The task that reads the stream is being cancelled, by anyio again and again.
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):  # accounting must not hide why the run ended
        await compat.DISPATCH_SUCCESS.of(logging_obj)(
            response, start_time=None, end_time=None, cache_hit=False, prefer_async_handlers=True
        )
