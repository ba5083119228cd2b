from __future__ import annotations

import pytest

from composite_llm.engine.retry import MAX_DELAY_S, MAX_RETRY_AFTER_S, delay_before_retry, why_no_retry
from composite_llm.model.errors import Failure, FailureKind

MANY = 99


def failure(kind: FailureKind = "unavailable", retry_after_s: float | None = None) -> Failure:
    return Failure(kind, "x", retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("tries", "most"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, MAX_DELAY_S), (20, MAX_DELAY_S)], ids=str
)
def test_the_delay_doubles_from_one_second_to_its_limit_with_full_jitter(tries: int, most: float) -> None:
    delays = [delay_before_retry(failure(), tries, MANY) for _ in range(300)]
    known = [delay for delay in delays if delay is not None]
    assert len(known) == len(delays)
    assert 0 <= min(known) < most * 0.2
    assert most * 0.8 < max(known) <= most
    assert len(set(known)) > 250


@pytest.mark.parametrize("kind", ["rate_limited", "timed_out", "unavailable", "malformed"])
def test_what_may_pass_is_tried_again_as_often_as_the_node_allows(kind: FailureKind) -> None:
    assert delay_before_retry(failure(kind), 2, 2) is not None
    assert delay_before_retry(failure(kind), 3, 2) is None
    assert delay_before_retry(failure(kind), 1, 0) is None


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("rejected", id="400"),
        pytest.param("authentication", id="401-and-403"),
        pytest.param("not_found", id="404"),
        pytest.param("context_window", id="context-window"),
        pytest.param("content_policy", id="content-policy"),
        pytest.param("unusable", id="blank"),
        pytest.param("budget", id="budget"),
        pytest.param("breaker_open", id="breaker"),
        pytest.param("invalid_output", id="invalid-output"),
    ],
)
def test_what_will_not_pass_is_never_tried_again(kind: FailureKind) -> None:
    assert delay_before_retry(failure(kind, retry_after_s=1), 1, MANY) is None


@pytest.mark.parametrize("asked", [0.0, 0.5, MAX_RETRY_AFTER_S])
def test_a_rate_limit_is_waited_for_as_long_as_the_provider_asks(asked: float) -> None:
    assert delay_before_retry(failure("rate_limited", asked), 1, MANY) == asked


def test_a_provider_that_asks_for_too_long_is_given_up() -> None:
    assert delay_before_retry(failure("rate_limited", MAX_RETRY_AFTER_S + 0.5), 1, MANY) is None


def test_a_rate_limited_model_is_tried_five_times_at_most() -> None:
    tries = [tried for tried in range(1, 10) if delay_before_retry(failure("rate_limited"), tried, MANY) is not None]
    assert tries == [1, 2, 3, 4]
    assert delay_before_retry(failure("rate_limited", 1), 5, MANY) is None


def test_only_a_rate_limit_can_ask_for_a_wait() -> None:
    delay = delay_before_retry(failure("unavailable", retry_after_s=14), 1, MANY)
    assert delay is not None
    assert delay <= 1


@pytest.mark.parametrize(
    ("failed", "tries", "why"),
    [
        (failure("rejected"), 1, "it would fail again"),
        (failure("unavailable"), 3, "no retries left"),
        (failure("rate_limited", 1), 5, "rate limited 5 times"),
        (failure("rate_limited", 40), 1, "asked to wait 40 s"),
    ],
)
def test_why_there_is_no_retry_is_said(failed: Failure, tries: int, why: str) -> None:
    allowed = 2 if why == "no retries left" else MANY
    assert delay_before_retry(failed, tries, allowed) is None
    assert why_no_retry(failed, tries, allowed) == why


def test_a_retry_that_is_not_made_for_want_of_time_says_so() -> None:
    assert delay_before_retry(failure(), 1, MANY) is not None
    assert why_no_retry(failure(), 1, MANY) == "no time left for a retry"
