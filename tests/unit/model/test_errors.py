from __future__ import annotations

import pytest

from composite_llm.model.errors import (
    BudgetExceeded,
    Failure,
    FailureKind,
    FinalCallFailed,
    InvalidOption,
    NodeFailure,
    QuorumNotMet,
    RunTimeout,
)


def failed(*kinds: FailureKind, status_code: int | None = None) -> list[NodeFailure]:
    return [NodeFailure(f"m{at}", Failure(kind, f"was {kind}", status_code)) for at, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        pytest.param(["rate_limited", "rate_limited"], 429, id="all-rate-limited"),
        pytest.param(["rejected", "rejected"], 400, id="all-rejected"),
        pytest.param(["context_window"], 400, id="all-too-long"),
        pytest.param(["content_policy"], 400, id="all-against-policy"),
        pytest.param(["authentication", "authentication"], 502, id="the-operators-keys"),
        pytest.param(["rate_limited", "rejected"], 503, id="mixed"),
        pytest.param(["timed_out", "timed_out"], 503, id="all-late"),
        pytest.param(["unavailable"], 503, id="all-down"),
        pytest.param(["unusable"], 503, id="all-blank"),
        pytest.param([], 503, id="nobody-failed"),
    ],
)
def test_a_missed_quorum_has_its_members_status_when_all_failed_alike(kinds: list[FailureKind], status: int) -> None:
    assert QuorumNotMet("propose", 2, 0, failed(*kinds)).status_code == status


def test_who_was_given_up_has_no_say_in_a_missed_quorums_status() -> None:
    given_up = NodeFailure("late", Failure("timed_out", "cut off", given_up=True))
    assert QuorumNotMet("propose", 2, 0, [*failed("rate_limited"), given_up]).status_code == 429
    assert QuorumNotMet("propose", 2, 0, [given_up]).status_code == 503


def test_a_missed_quorum_tells_stage_need_and_each_members_failure() -> None:
    error = QuorumNotMet("answer", 2, 1, failed("timed_out", "rejected"))
    assert str(error) == "stage 'answer' needs 2 usable answers, got 1; failed: m0: was timed_out; m1: was rejected"
    assert str(QuorumNotMet("answer", 1, 0, [])) == "stage 'answer' needs 1 usable answer, got 0"


@pytest.mark.parametrize(
    ("kind", "upstream", "status"),
    [
        pytest.param("rejected", 422, 400, id="rejected"),
        pytest.param("authentication", 401, 502, id="the-operators-key"),
        pytest.param("authentication", 403, 502, id="forbidden"),
        pytest.param("not_found", 404, 404, id="not-found"),
        pytest.param("rate_limited", 429, 429, id="rate-limited"),
        pytest.param("timed_out", None, 408, id="timed-out"),
        pytest.param("unavailable", None, 503, id="connection-refused"),
        pytest.param("unavailable", 500, 500, id="plain-500"),
        pytest.param("unavailable", 529, 529, id="overloaded"),
        pytest.param("malformed", None, 502, id="unreadable"),
        pytest.param("unusable", None, 502, id="blank"),
    ],
)
def test_a_failed_final_call_has_the_status_of_its_last_cause(
    kind: FailureKind, upstream: int | None, status: int
) -> None:
    error = FinalCallFailed("aggregate", [*failed("rate_limited"), *failed(kind, status_code=upstream)])
    assert (error.kind, error.status_code) == (kind, status)


def test_a_broken_off_answer_tells_how_much_of_it_came() -> None:
    error = FinalCallFailed("aggregate", failed("unavailable"), received_chars=12)
    assert "the final call failed after 12 characters of its answer: m0: was unavailable" in str(error)
    assert "characters" not in str(FinalCallFailed("aggregate", failed("unavailable")))


def test_errors_carry_what_a_program_may_ask_for() -> None:
    budget = BudgetExceeded("max_calls", 3, 3)
    assert (budget.limit_name, budget.limit, budget.used, budget.status_code) == ("max_calls", 3, 3, 402)
    late = RunTimeout(2.5, ["propose"])
    assert (late.status_code, late.stages_finished) == (408, ("propose",))
    assert str(late) == "no answer within timeout=2.5 s; stages finished: propose"
    assert str(RunTimeout(1, [])).endswith("stages finished: none")
    option = InvalidOption("quorum", "got 0", allowed="1 or more", value=0)
    assert (option.key, option.value, option.allowed, str(option)) == (
        "quorum",
        0,
        "1 or more",
        "quorum: got 0; allowed: 1 or more",
    )


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        ("rate_limited", True),
        ("timed_out", True),
        ("unavailable", True),
        ("malformed", True),
        ("rejected", False),
        ("authentication", False),
        ("not_found", False),
        ("context_window", False),
        ("content_policy", False),
        ("unusable", False),
        ("budget", False),
        ("breaker_open", False),
    ],
)
def test_only_what_may_pass_in_a_moment_is_retryable(kind: FailureKind, retryable: bool) -> None:
    assert Failure(kind, "x").retryable is retryable
