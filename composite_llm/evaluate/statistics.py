"""What so many questions tell: intervals, paired differences and exact tests. Pure functions, each with its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

LEVEL = 0.05
"""Of every interval and test: 1 in 20."""
POWER = 0.8
"""How surely a difference should be found, where a number of questions is proposed."""

_Z = NormalDist().inv_cdf(1 - LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval.

    Attributes:
        estimate: The figure itself.
        low: Its lower end.
        high: Its upper end.
    """

    estimate: float
    low: float
    high: float


def wilson(right: float, questions: int) -> Interval:
    """The score interval of a proportion (E. B. Wilson, JASA 22, 1927; method 3 of R. G. Newcombe, Statistics in Medicine 17, 1998).

    Args:
        right: Questions answered rightly. A fraction where a question was asked several times: the interval is then wide
            enough, since the share of right answers to one question varies less than a single answer.
        questions: At least 1.
    """
    p, z2 = right / questions, _Z * _Z
    scale = 1 + z2 / questions
    centre = (p + z2 / (2 * questions)) / scale
    half = _Z * math.sqrt(p * (1 - p) / questions + z2 / (4 * questions**2)) / scale
    # At the ends the formula gives 0 and 1 but for rounding.
    return Interval(p, 0.0 if right == 0 else max(0.0, centre - half), 1.0 if right == questions else centre + half)


def paired_difference(better: float, worse: float, questions: int) -> Interval:
    """The score interval of a difference of two proportions of the same questions (T. Tango, Statistics in Medicine 17, 1998).

    Args:
        better: Questions that the first answered rightly and the second did not; fractions as in `wilson`.
        worse: The other way round.
        questions: All of them.
    """
    difference = (better - worse) / questions

    def score(delta: float) -> float:
        """Standard errors between what was seen and a true difference of `delta`; falls as `delta` grows."""
        linear = -better - worse + (2 * questions - better + worse) * delta
        root = math.sqrt(max(0.0, linear * linear + 8 * questions * worse * delta * (1 - delta)))
        only_second = (root - linear) / (4 * questions)
        variance = questions * (2 * only_second + delta * (1 - delta))
        distance = better - worse - questions * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    low = -1.0 if difference <= -1 else _crossing(lambda delta: score(delta) - _Z, -1.0, difference)
    high = 1.0 if difference >= 1 else _crossing(lambda delta: score(delta) + _Z, difference, 1.0)
    return Interval(difference, low, high)


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def exact_sign_test(better: int, worse: int) -> float:
    """How likely so uneven a split is if neither is better; two-sided.

    Of questions that each contestant answered once this is McNemar's exact test (Q. McNemar, Psychometrika 12, 1947), which
    looks at the questions on which the two differ and at no other.
    """
    differing = better + worse
    tail = sum(math.comb(differing, count) for count in range(min(better, worse) + 1))
    return min(1.0, float(Fraction(tail, 2 ** (differing - 1)))) if differing else 1.0


FEWEST_DIFFERING = next(count for count in range(1, 64) if exact_sign_test(count, 0) < LEVEL)
"""With fewer questions on which two differ, no split can be told from chance: 6."""


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The same for several comparisons at once (S. Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def questions_needed(better: float, worse: float) -> int | None:
    """How many questions would tell such a difference four times in five (R. J. Connor, Biometrics 43, 1987).

    Args:
        better: Share of the questions that only the first answered rightly.
        worse: Share that only the second did.

    Returns:
        None where there is no difference to be told.
    """
    difference, differing = abs(better - worse), better + worse
    if not difference:
        return None
    spread = _Z * math.sqrt(differing) + NormalDist().inv_cdf(POWER) * math.sqrt(differing - difference**2)
    return math.ceil((spread / difference) ** 2)


def noise_floor(scores: Sequence[Sequence[float]]) -> float | None:
    """By how much the accuracies of two passes of one contestant differ, 19 times in 20, for no reason but chance.

    Args:
        scores: For each question, the score of each repeat, 0 to 1.

    Returns:
        A share of 1; None where no question was asked twice.
    """
    variances = [_variance(repeats) for repeats in scores if len(repeats) > 1]
    if not variances:
        return None
    one_pass = math.sqrt(math.fsum(variances) / len(variances) / len(scores))
    return _Z * math.sqrt(2) * one_pass


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's r; of right and wrong it is phi. None where one of the two never varies."""
    if len(pairs) < 2:
        return None
    xs, ys = zip(*pairs, strict=True)
    x_mean, y_mean = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    xx = math.fsum((x - x_mean) ** 2 for x in xs)
    yy = math.fsum((y - y_mean) ** 2 for y in ys)
    if not xx or not yy:
        return None
    return math.fsum((x - x_mean) * (y - y_mean) for x, y in pairs) / math.sqrt(xx * yy)


def effective_votes(votes: int, mean_correlation: float) -> float:
    """How many independent votes so many correlated ones are worth (L. Kish, Survey Sampling, 1965, section 5.4).

    Args:
        votes: How many there are.
        mean_correlation: Of all pairs; votes that contradict each other are worth no more than independent ones here.
    """
    return votes / (1 + (votes - 1) * max(0.0, mean_correlation))
