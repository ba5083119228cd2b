"""What follows a failed attempt. Decides; never sleeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from composite_llm.model.errors import Failure

MAX_DELAY_S = 30.0
MAX_RETRY_AFTER_S = 15.0
MAX_RATE_LIMITED_TRIES = 5


def delay_before_retry(failure: Failure, tries: int, num_retries: int, *, blank_before: bool = False) -> float | None:
    """Decide what follows a failed attempt.

    Args:
        failure: Why it failed.
        tries: Number of the failed attempt, counted from 1.
        num_retries: Further tries the node allows.
        blank_before: Whether an earlier try was answered with nothing.

    Returns:
        Seconds to wait before the next attempt, or None to give up on this model.
    """
    if tries > num_retries:
        return None
    if failure.kind == "blank":
        # The model is well, and samples vary; who was blank before stays so.
        return None if blank_before else 0.0
    if not failure.retryable:
        return None
    if failure.kind == "rate_limited":
        if tries >= MAX_RATE_LIMITED_TRIES:
            return None
        if failure.retry_after_s is not None:
            # A provider that asks for longer than we are willing to wait is a reason to fall back, not to sit here.
            return failure.retry_after_s if failure.retry_after_s <= MAX_RETRY_AFTER_S else None
    return _back_off()(tries)


def why_no_retry(failure: Failure, tries: int, num_retries: int) -> str:
    """In words, why `delay_before_retry` gives up; if it does not, then there is no time for its delay."""
    if failure.kind != "blank" and not failure.retryable:
        return "it would fail again"
    if tries > num_retries:
        return "no retries left"
    if failure.kind == "blank":
        return "blank twice"
    if failure.kind == "rate_limited" and tries >= MAX_RATE_LIMITED_TRIES:
        return f"rate limited {tries} times"
    if failure.kind == "rate_limited" and (failure.retry_after_s or 0) > MAX_RETRY_AFTER_S:
        return f"asked to wait {failure.retry_after_s:g} s"
    return "no time left for a retry"


@cache
def _back_off() -> Callable[[int], float]:
    """Seconds after so many tries: exponential from 1 s by 2, at most 30 s, with full jitter.

    Brooker, "Exponential Backoff And Jitter", 2015.
    """
    # Loaded when something first fails: tenacity loads whole frameworks where they are installed.
    from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

    wait = wait_random_exponential(multiplier=1, exp_base=2, max=MAX_DELAY_S)
    retrying = AsyncRetrying()

    def after(tries: int) -> float:
        state = RetryCallState(retrying, None, (), {})
        state.attempt_number = tries
        return float(wait(state))

    return after
