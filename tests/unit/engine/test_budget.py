from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.engine.budget import Budget, Reservation
from composite_llm.model.errors import BudgetExceeded


def test_without_caps_everything_is_counted_and_nothing_refused() -> None:
    budget = Budget()
    for _ in range(100):
        budget.start_call()
        budget.charge(1.5)
    assert (budget.calls, budget.spent_usd, budget.cost_left_usd, budget.calls_left) == (100, 150, None, None)


def test_the_call_over_the_cap_is_refused_and_not_counted() -> None:
    budget = Budget(max_calls=2)
    budget.start_call()
    budget.check()
    budget.start_call()
    with pytest.raises(BudgetExceeded, match="max_calls of 2 is reached: used 2") as raised:
        budget.start_call()
    assert (raised.value.limit_name, raised.value.limit, raised.value.used) == ("max_calls", 2, 2)
    assert (budget.calls, budget.calls_left) == (2, 0)


@pytest.mark.parametrize(
    ("costs", "refused"),
    [
        pytest.param([0.25, 0.24], False, id="below"),
        pytest.param([0.25, 0.25], True, id="reached"),
        pytest.param([0.25, None, 0.3], True, id="known-part-alone-is-over"),
        pytest.param([None, 0.25], False, id="unknown-counts-as-nothing"),
        pytest.param([], False, id="nothing-spent"),
    ],
)
def test_no_call_leaves_once_the_money_is_spent(costs: list[float | None], refused: bool) -> None:
    budget = Budget(max_cost_usd=0.5)
    for cost in costs:
        budget.charge(cost)
    if refused:
        with pytest.raises(BudgetExceeded, match=r"max_cost_usd of 0\.5 is reached"):
            budget.start_call()
    else:
        budget.start_call()
    assert budget.calls == (0 if refused else 1)


def test_an_unknown_price_makes_the_spent_unknown() -> None:
    budget = Budget()
    budget.charge(0.5)
    budget.charge(None)
    assert budget.spent_usd is None


def test_what_a_nested_run_does_counts_for_the_runs_around_it() -> None:
    outer = Budget(max_calls=3)
    middle = Budget(parent=outer)
    inner = Budget(max_calls=5, parent=middle)
    outer.start_call()
    inner.start_call()
    inner.charge(0.5)
    assert (outer.calls, middle.calls, inner.calls) == (2, 1, 1)
    assert (outer.spent_usd, middle.spent_usd) == (0.5, 0.5)
    assert inner.calls_left == 1
    inner.start_call()
    with pytest.raises(BudgetExceeded, match="max_calls of 3"):
        inner.start_call()
    assert (outer.calls, inner.calls) == (3, 2)


def test_a_nested_runs_own_cap_leaves_the_outer_one_free() -> None:
    outer = Budget(max_calls=9)
    inner = Budget(max_calls=1, parent=outer)
    inner.start_call()
    with pytest.raises(BudgetExceeded, match="max_calls of 1"):
        inner.start_call()
    outer.start_call()
    assert outer.calls == 2


def test_the_money_left_is_that_of_the_tightest_cap() -> None:
    outer = Budget(max_cost_usd=1)
    inner = Budget(max_cost_usd=0.75, parent=outer)
    assert inner.cost_left_usd == 0.75
    outer.charge(0.5)
    assert inner.cost_left_usd == 0.5
    inner.charge(0.75)
    assert inner.cost_left_usd == 0
    assert outer.cost_left_usd == 0


# --- what is under way ---------------------------------------------------------------------------------------------


def exactly(cost_usd: float, asked: list[float] | None = None) -> Callable[[], float]:
    def exact() -> float:
        if asked is not None:
            asked.append(cost_usd)
        return cost_usd

    return exact


def test_what_is_reserved_is_not_left_for_others_until_it_is_released() -> None:
    budget = Budget(max_cost_usd=10)
    first = budget.reserve(6, exactly(6))
    assert budget.cost_left_usd == 4
    with pytest.raises(BudgetExceeded, match="the next call may cost \\$5"):
        budget.reserve(5, exactly(5))
    assert budget.cost_left_usd == 4
    budget.release(first)
    budget.charge(1)
    assert budget.cost_left_usd == 9


def test_tokens_are_counted_only_when_money_is_short_and_then_once_for_all() -> None:
    asked: list[float] = []
    budget = Budget(max_cost_usd=10)
    budget.reserve(4, exactly(1, asked))
    budget.reserve(4, exactly(2, asked))
    assert asked == []
    budget.reserve(4, exactly(3, asked))
    assert sorted(asked) == [1, 2, 3]
    assert budget.cost_left_usd == 4
    budget.reserve(4, exactly(4, asked))
    assert sorted(asked) == [1, 2, 3]


def test_a_nested_runs_reservations_count_for_the_run_around_it() -> None:
    outer = Budget(max_cost_usd=10)
    inner = Budget(max_cost_usd=8, parent=outer)
    theirs = outer.reserve(5, exactly(5))
    assert inner.cost_left_usd == 5
    ours = inner.reserve(4, exactly(4))
    assert (inner.cost_left_usd, outer.cost_left_usd) == (1, 1)
    inner.release(ours)
    outer.release(theirs)
    assert (inner.cost_left_usd, outer.cost_left_usd) == (8, 10)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.booleans()), max_size=30))
def test_what_is_spent_never_goes_over_a_cap_whose_bounds_hold(steps: list[tuple[float, float, bool]]) -> None:
    budget = Budget(max_cost_usd=10)
    under_way: list[tuple[Reservation, float]] = []
    for bound, share, ends in steps:
        with contextlib.suppress(BudgetExceeded):
            under_way.append((budget.reserve(bound * 2, exactly(bound)), bound * share))
        if ends and under_way:
            reservation, cost = under_way.pop(0)
            budget.release(reservation)
            budget.charge(cost)
    for reservation, cost in under_way:
        budget.release(reservation)
        budget.charge(cost)
    assert budget.spent_usd is not None
    assert budget.spent_usd <= 10 + 1e-9


@pytest.mark.parametrize(
    ("outer", "inner", "told"), [(10, None, "10"), (10, 4, "4"), (4, 10, "4"), (None, 7, "7")], ids=str
)
def test_the_refusal_names_the_cap_that_leaves_the_least(outer: float | None, inner: float | None, told: str) -> None:
    budget = Budget(max_cost_usd=inner, parent=Budget(max_cost_usd=outer))
    budget.charge(1)
    with pytest.raises(
        BudgetExceeded, match=f"max_cost_usd of {told} leaves too little: used 1, and the next call may"
    ):
        budget.reserve(50, exactly(50))
