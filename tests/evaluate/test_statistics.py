"""Intervals and tests, against published figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.evaluate.statistics import (
    FEWEST_DIFFERING,
    correlation,
    effective_votes,
    exact_sign_test,
    holm,
    noise_floor,
    paired_difference,
    questions_needed,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "questions", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_newcombe_printed_it(right: int, questions: int, low: float, high: float) -> None:
    # R. G. Newcombe, Statistics in Medicine 17, 1998, 857-872, table I, method 3.
    found = wilson(right, questions)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_the_paired_difference_is_as_fagerland_lydersen_and_laake_printed_it() -> None:
    # Statistical Analysis of Contingency Tables, 2017, chapter 8: complete response before and after consolidation
    # therapy, 59, 6, 16, 80; Tango's asymptotic score interval.
    found = paired_difference(6, 16, 161)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.0621, -0.1240, -0.0054), abs=5e-5)


def test_the_paired_difference_is_as_the_r_package_propcis_has_it() -> None:
    # scoreci.mp(20, 60, 1000)
    found = paired_difference(60, 20, 1000)
    assert (found.low, found.high) == pytest.approx((0.0231, 0.0584), abs=5e-5)


def test_mcnemars_exact_test_is_as_fagerland_lydersen_and_laake_printed_it() -> None:
    # The same table: the exact conditional test, P = 0.0525.
    assert exact_sign_test(6, 16) == pytest.approx(0.0525, abs=5e-5)


def test_five_questions_can_never_be_enough_and_six_can() -> None:
    assert exact_sign_test(5, 0) == 2 / 2**5 > 0.05
    assert exact_sign_test(6, 0) == 2 / 2**6 < 0.05
    assert FEWEST_DIFFERING == 6


def test_no_difference_has_no_evidence() -> None:
    assert exact_sign_test(0, 0) == exact_sign_test(4, 4) == 1.0
    assert paired_difference(0, 0, 40).low == -paired_difference(0, 0, 40).high


def test_holm_is_as_it_is_taught() -> None:
    # Four p-values at once, as R's p.adjust(c(.01, .04, .03, .005), "holm") has them.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )


def test_the_questions_needed_find_the_difference_four_times_in_five() -> None:
    better, worse = 0.2, 0.1
    needed = questions_needed(better, worse)
    assert needed is not None
    # The exact power of the exact test, summed over all numbers of differing questions; it is a little conservative.
    differing = better + worse
    power = 0.0
    for count in range(needed + 1):
        weight = math.comb(needed, count) * differing**count * (1 - differing) ** (needed - count)
        if weight > 1e-12:
            share = better / differing
            power += weight * sum(
                math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
                for hits in range(count + 1)
                if exact_sign_test(hits, count - hits) < 0.05
            )
    assert 0.74 < power < 0.82


def test_no_difference_needs_no_number_of_questions() -> None:
    assert questions_needed(0.1, 0.1) is None


def test_the_noise_floor_is_the_spread_of_two_passes() -> None:
    # 100 coins, each thrown twice: one pass has a standard deviation of 5 points, a difference of two 7.07.
    coins = [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]] * 25
    assert noise_floor(coins) == pytest.approx(1.96 * math.sqrt(2) * 0.05, rel=1e-3)
    assert noise_floor([[1.0, 1.0], [0.0, 0.0]]) == 0.0
    assert noise_floor([[1.0], [0.0]]) is None


def test_correlation_is_undefined_where_nothing_varies() -> None:
    assert correlation([(1, 0), (1, 1)]) is None
    assert correlation([(0, 0), (1, 1)]) == pytest.approx(1)
    assert correlation([(0, 1), (1, 0)]) == pytest.approx(-1)


def test_nine_votes_of_which_any_two_correlate_by_44_percent_are_worth_two() -> None:
    # arXiv 2605.29800: nine judges carry about two independent votes.
    assert effective_votes(9, 0.44) == pytest.approx(1.99, abs=0.005)
    assert effective_votes(9, 0.0) == effective_votes(9, -0.2) == 9
    assert effective_votes(9, 1.0) == 1


counts = st.integers(0, 60)


@given(counts, counts, counts)
def test_an_interval_holds_its_estimate_and_stays_inside(better: int, worse: int, alike: int) -> None:
    questions = better + worse + alike
    if questions:
        paired = paired_difference(better, worse, questions)
        assert -1 <= paired.low <= paired.estimate <= paired.high <= 1
        mirrored = paired_difference(worse, better, questions)
        assert (paired.low, paired.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
        single = wilson(better, questions)
        assert 0 <= single.low <= single.estimate <= single.high <= 1
