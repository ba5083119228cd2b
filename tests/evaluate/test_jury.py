"""The simulated jury: against its closed forms, and its counting against the product's own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.jury import METHODS, Jury, common_cause, jury_theorem, ranked_first, reached, voted
from composite_llm.strategies.voting import rank, without_self

TRIALS = 20_000


@pytest.mark.parametrize(
    ("size", "accuracy", "expected"),
    [
        # 3 p^2 - 2 p^3, and the figure that is always quoted of eleven voters of 0.7.
        (3, 0.6, 0.648),
        (3, 0.4, 0.352),
        (11, 0.7, 0.9218),
        (1, 0.6, 0.6),
    ],
)
def test_the_closed_form_is_condorcets(size: int, accuracy: float, expected: float) -> None:
    assert jury_theorem(size, accuracy) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("odd", [1, 3, 5, 13])
def test_an_even_jury_is_worth_no_more_than_one_member_less(odd: int) -> None:
    assert jury_theorem(odd + 1, 0.7) == pytest.approx(jury_theorem(odd, 0.7))


def test_members_who_are_one_are_worth_one() -> None:
    assert common_cause(9, 0.6, 1.0) == pytest.approx(0.6)
    assert common_cause(9, 0.6, 0.0) == pytest.approx(jury_theorem(9, 0.6))


@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [1, 2, 5, 15])
def test_the_simulated_vote_reaches_the_closed_form(size: int, correlation: float) -> None:
    found = reached(Jury.of(size, 0.7, correlation=correlation, wrong_answers=1), TRIALS)["vote"]
    expected = common_cause(size, 0.7, correlation)
    assert abs(found - expected) < 4.5 * math.sqrt(expected * (1 - expected) / TRIALS)


def test_members_are_as_right_and_as_correlated_as_they_are_told_to_be() -> None:
    jury = Jury((0.8, 0.6, 0.6), correlation=0.3)
    right = jury.answers(100_000, np.random.default_rng(1)) == 0
    assert right.mean(axis=0) == pytest.approx([0.8, 0.6, 0.6], abs=0.01)
    assert np.corrcoef(right[:, 1], right[:, 2])[0, 1] == pytest.approx(0.3, abs=0.02)


def test_a_reviewer_prefers_the_right_answer_as_often_as_it_is_told_to() -> None:
    jury = Jury((0.5, 0.5), discernment=0.75)
    answers = np.tile([0, 1], (100_000, 1))
    seen = jury.judgements(answers, np.random.default_rng(1))
    assert (seen[:, :, 0] > seen[:, :, 1]).mean() == pytest.approx(0.75, abs=0.01)


def test_an_ideal_synthesis_of_independent_members_misses_what_nobody_knows() -> None:
    found = reached(Jury.of(3, 0.6), TRIALS)["ideal synthesis"]
    assert found == pytest.approx(1 - 0.4**3, abs=0.01)


def test_no_method_but_the_ideal_beats_it_and_one_member_is_one_member() -> None:
    found = reached(Jury.of(5, 0.6, correlation=0.3), TRIALS)
    assert max(found[name] for name in METHODS) == found["ideal synthesis"]
    alone = reached(Jury.of(1, 0.6), TRIALS)
    assert len(set(alone.values())) == 1


def test_ties_of_a_vote_go_by_configuration_order() -> None:
    answers = np.array([[1, 0, 0, 1], [2, 0, 1, 3], [1, 2, 2, 0]])
    assert voted(answers).tolist() == [0, 0, 1]


@pytest.mark.parametrize("method", ["borda", "copeland"])
@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_ballots_are_counted_as_a_council_counts_them(method: str, size: int) -> None:
    seen = np.random.default_rng(size).standard_normal((200, size, size))
    names = [f"m{place}" for place in range(size)]
    for number, winner in enumerate(ranked_first(seen, method)):
        ballots = {
            name: [names[place] for place in np.argsort(-seen[number, index])] for index, name in enumerate(names)
        }
        votes = without_self(ballots, names, {name: name for name in names})
        tally = rank(votes, names, method)
        assert tally.order[0] == names[winner]
