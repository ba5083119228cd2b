"""What follows a failed attempt. Decides; never sleeps."""

from __future__ import annotations

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from composite_llm.errors import Failure

MAX_DELAY_S = 30.0
MAX_RETRY_AFTER_S = 15.0
MAX_RATE_LIMITED_TRIES = 5

# Exponential back-off from 1 s by 2, at most 30 s, with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
_BACK_OFF = wait_random_exponential(multiplier=1, exp_base=2, max=MAX_DELAY_S)
_RETRYING = AsyncRetrying()


def delay_before_retry(failure: Failure, tries: int, num_retries: int) -> float | None:
    """Decide what follows a failed attempt.

    Args:
        failure: Why it failed.
        tries: Number of the failed attempt, counted from 1.
        num_retries: Further tries the node allows.

    Returns:
        Seconds to wait before the next attempt, or None to give up on this model.
    """
    if not failure.retryable or tries > num_retries:
        return None
    if failure.kind == "rate_limited":
        if tries >= MAX_RATE_LIMITED_TRIES:
            return None
        if failure.retry_after_s is not None:
            # A provider that asks for longer than we are willing to wait is a reason to fall back, not to sit here.
            return failure.retry_after_s if failure.retry_after_s <= MAX_RETRY_AFTER_S else None
    return _back_off(tries)


def _back_off(tries: int) -> float:
    state = RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = tries
    return float(_BACK_OFF(state))
