"""From the ballots of reviewers to one ranking: Borda, mean position and Copeland, with agreement and dissent.

Everything here is a pure function of `Vote`s. A vote says which candidates its reviewer *could* rank (`eligible`) and
which ones the reviewer did rank (`ranking`, best first), because a candidate that is missing from a ranking can be
missing for two reasons that must not be mixed up:

* not eligible, such as the reviewer's own answer: the vote says nothing about it and has no effect on it;
* eligible but unranked (a partial ballot): it is tied last among the eligible candidates of that vote.

Tied candidates share the mean of the positions they occupy (mid-ranks: M. G. Kendall, "The treatment of ties in
ranking problems", Biometrika 33, 1945). For the Borda count this equals tournament counting: one point for each
candidate placed below, half a point for each candidate tied with.

Positions and points are those within the vote's own eligible set, so a candidate is never pushed down by a vote that
was not allowed to name it. A vote carries information only when it has at least two eligible candidates and ranks at
least one; other votes (abstentions among them) are left out and not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Dissent", "Method", "Tally", "Vote", "concordance", "dissent", "kendall_w", "rank", "without_self"]

Method: TypeAlias = Literal["borda", "mean_position", "copeland"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One reviewer's ballot, in candidate ids.

    Attributes:
        reviewer: Who voted. Only reported, never used for counting.
        eligible: The candidates this reviewer was allowed to rank.
        ranking: Best first. Repeats, and candidates that are not eligible, are ignored. Empty: an abstention.
    """

    reviewer: str
    eligible: tuple[str, ...]
    ranking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """The result of a count.

    Attributes:
        order: All candidates, best first.
        scores: The method's own score by candidate; see `rank` for unit and direction.
        mean_positions: By candidate, the mean position (1 = best) over the counted votes it was eligible in; 0.0 for a
            candidate in none of them.
        first_places: By candidate, how many counted votes rank it first.
        ballots_counted: How many votes carried information.
        ties: The groups of two or more candidates with exactly equal method score, best group first, each in `order`'s
            order. `order` separates them by the tie-break only.
    """

    order: tuple[str, ...]
    scores: Mapping[str, float]
    mean_positions: Mapping[str, float]
    first_places: Mapping[str, int]
    ballots_counted: int
    ties: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Dissent:
    """An answer that some reviewer put first while most reviewers put it in the lower half.

    Attributes:
        candidate: The answer.
        champions: The reviewers who ranked it first, in the order of the votes.
        position: Its position in the group's order, 1 = best.
    """

    candidate: str
    champions: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """A vote that carries information: 0-based mid-rank positions of its eligible candidates."""

    reviewer: str
    first: str
    positions: dict[str, Fraction]


def without_self(
    ballots: Mapping[str, Sequence[str]], candidates: Sequence[str], author_of: Mapping[str, str]
) -> tuple[Vote, ...]:
    """Drop every reviewer's own candidates from the reviewer's ballot, and close the gaps.

    Args:
        ballots: Reviewer -> ranking in candidate ids, best first; may be partial.
        candidates: All candidates, in configuration order.
        author_of: Candidate -> the reviewer who wrote it. A candidate without an entry is eligible for everyone.

    Returns:
        One vote for each ballot, in the order of `ballots`.
    """
    return tuple(_without_own(reviewer, ballot, candidates, author_of) for reviewer, ballot in ballots.items())


def rank(votes: Sequence[Vote], candidates: Sequence[str], method: Method) -> Tally:
    """Count the votes.

    Methods and their scores:

    * `borda` (J.-C. de Borda, 1781): a vote over n eligible candidates gives (n - 1 - position) / (n - 1) to the
      candidate at the 0-based position, so 1 to the first and 0 to the last; the score is the mean over the counted
      votes the candidate was eligible in, 0..1, higher is better. When all votes cover the same n candidates,
      score * votes * (n - 1) are the classical Borda points.
    * `mean_position`: the mean 1-based position over the same votes, lower is better. It is not scaled by the length
      of the vote; where eligible sets differ in size, `borda` is the fairer choice.
    * `copeland` (A. H. Copeland, 1951): pairwise wins minus pairwise losses, -(n - 1)..(n - 1), higher is better. A
      pair is decided by the majority of the votes in which both are eligible; a ranked candidate beats an unranked
      one, two unranked ones are no preference. A drawn or never compared pair gives 0 to both.

    Equal scores are ordered by mean position (lower first), then by number of first places (higher first), then by the
    order of `candidates`. All arithmetic is exact, so a tie is a tie.

    A candidate in no counted vote scores 0.0 in every method. `borda` and `mean_position` put it behind every candidate
    that some vote covers; `copeland` leaves it at its 0. Without any counted vote (or with fewer than two candidates)
    all scores are 0.0 and the order is that of `candidates`.

    Args:
        votes: Any number of votes.
        candidates: All candidates in configuration order; repeats are ignored. Names in votes that are not among them
            are ignored too.
        method: The counting method.

    Returns:
        The tally; its `order` is a permutation of `candidates`.
    """
    names = tuple(dict.fromkeys(candidates))
    counted = _counted(votes, names)
    mean_positions = _mean_positions(counted, names)
    first_places = Counter(vote.first for vote in counted)
    scores = _scores(method, counted, names, mean_positions)
    lower_is_better = method == "mean_position"

    def score_key(name: str) -> Fraction:
        if lower_is_better:
            return scores.get(name, Fraction(len(names) + 1))
        return -scores.get(name, Fraction(0))

    def sort_key(name: str) -> tuple[Fraction, Fraction, int]:
        return score_key(name), mean_positions.get(name, Fraction(len(names) + 1)), -first_places[name]

    order = tuple(sorted(names, key=sort_key))
    groups = (tuple(group) for _, group in groupby(order, key=score_key))
    return Tally(
        order=order,
        scores={name: float(scores.get(name, 0)) for name in names},
        mean_positions={name: float(mean_positions.get(name, 0)) for name in names},
        first_places={name: first_places[name] for name in names},
        ballots_counted=len(counted),
        ties=tuple(group for group in groups if len(group) > 1),
    )


def kendall_w(votes: Sequence[Vote], candidates: Sequence[str]) -> float | None:
    """Kendall's coefficient of concordance W of the votes: 0 is no agreement, 1 is unanimity.

    When all counted votes have the same eligible set, this is the textbook W with the correction for ties (see
    `concordance`); unranked candidates are tied last.

    When the sets differ (self exclusion), W is derived from the mean r of the pairwise Spearman correlations by
    W = (r * (m - 1) + 1) / m, the identity of M. G. Kendall and B. Babington Smith, "The problem of m rankings",
    Annals of Mathematical Statistics 10, 1939; it is exact for complete rankings without ties, and used here as the
    definition for incomplete ones. Each pair of votes is correlated over the candidates both could rank, ranked anew
    among themselves. A pair with fewer than two candidates in common, or where one vote is all tied on them, is left
    out, and m counts only votes that occur in some remaining pair. The result is clamped to 0..1.

    Args:
        votes: The votes; those without information are left out.
        candidates: The candidates to look at.

    Returns:
        W, or None where it is undefined: fewer than two candidates, fewer than two counted votes, or no pair of votes
        that can be compared (three authors who may not rank themselves share a single candidate in each pair).
    """
    counted = _counted(votes, tuple(dict.fromkeys(candidates)))
    if len(counted) < 2:
        return None
    if len({frozenset(vote.positions) for vote in counted}) == 1:
        names = tuple(counted[0].positions)
        return concordance([[float(vote.positions[name]) for name in names] for vote in counted])
    return _pairwise_w(counted)


def concordance(ranks: Sequence[Sequence[float]]) -> float | None:
    """Kendall's W of complete rankings, corrected for ties.

    W = 12 S / (m^2 (n^3 - n) - m T) for m rankings of n objects, where S is the sum of the squared deviations of the
    objects' rank sums from their mean and T the sum of t^3 - t over all groups of t equal ranks (S. Siegel and
    N. J. Castellan, "Nonparametric Statistics for the Behavioral Sciences", 2nd edition, 1988, section 9.7).

    Args:
        ranks: m rows of n mid-ranks; a constant shift of a row makes no difference.

    Returns:
        W in 0..1, or None for fewer than two rows or columns, or when every row is entirely tied.
    """
    m = len(ranks)
    n = len(ranks[0]) if m else 0
    if m < 2 or n < 2:
        return None
    sums = [math.fsum(column) for column in zip(*ranks, strict=True)]
    mean = math.fsum(sums) / n
    spread = math.fsum((total - mean) ** 2 for total in sums)
    correction = sum(size**3 - size for row in ranks for size in Counter(row).values())
    scale = m * m * (n**3 - n) - m * correction
    return _clamp(12 * spread / scale) if scale else None


def dissent(votes: Sequence[Vote], order: Sequence[str]) -> tuple[Dissent, ...]:
    """Find the answers with a champion that the majority put in the lower half.

    A candidate is in the lower half of a vote when its position there (tied last if unranked) is strictly below the
    middle of the vote's eligible candidates: of 4, positions 3 and 4; of 5, positions 4 and 5. It is a dissent when at
    least one vote ranks it first and strictly more than half of the counted votes it is eligible in, the champions'
    included, have it in the lower half.

    Args:
        votes: The votes; those without information are left out.
        order: The group's order, best first, such as `Tally.order`.

    Returns:
        The dissents in the group's order.
    """
    counted = _counted(votes, tuple(dict.fromkeys(order)))
    found = (_dissent_on(name, at, counted) for at, name in enumerate(dict.fromkeys(order), start=1))
    return tuple(one for one in found if one is not None)


def _without_own(reviewer: str, ballot: Sequence[str], candidates: Sequence[str], author_of: Mapping[str, str]) -> Vote:
    eligible = tuple(name for name in dict.fromkeys(candidates) if author_of.get(name) != reviewer)
    return Vote(reviewer=reviewer, eligible=eligible, ranking=_restricted(ballot, eligible))


def _restricted(ranking: Sequence[str], eligible: Sequence[str]) -> tuple[str, ...]:
    allowed = set(eligible)
    return tuple(name for name in dict.fromkeys(ranking) if name in allowed)


def _counted(votes: Iterable[Vote], names: Sequence[str]) -> list[_Counted]:
    """Keep the votes that carry information, with the positions of their eligible candidates."""
    counted = []
    for vote in votes:
        eligible = _restricted(names, vote.eligible)
        ranking = _restricted(vote.ranking, eligible)
        if len(eligible) > 1 and ranking:
            counted.append(_Counted(vote.reviewer, ranking[0], _positions(ranking, eligible)))
    return counted


def _positions(ranking: Sequence[str], eligible: Sequence[str]) -> dict[str, Fraction]:
    """0-based positions in the order of `eligible`; the unranked share the mean of the last positions."""
    placed = {name: Fraction(at) for at, name in enumerate(ranking)}
    last = Fraction(len(ranking) + len(eligible) - 1, 2)
    return {name: placed.get(name, last) for name in eligible}


def _mean_positions(counted: Sequence[_Counted], names: Sequence[str]) -> dict[str, Fraction]:
    return _means({name: [vote.positions[name] + 1 for vote in counted if name in vote.positions] for name in names})


def _means(values: Mapping[str, Sequence[Fraction]]) -> dict[str, Fraction]:
    return {name: sum(each, Fraction(0)) / len(each) for name, each in values.items() if each}


def _scores(
    method: Method, counted: Sequence[_Counted], names: Sequence[str], mean_positions: dict[str, Fraction]
) -> dict[str, Fraction]:
    if method == "mean_position":
        return mean_positions
    if method == "copeland":
        return _copeland(counted, names)
    return _means({name: [_borda_share(vote, name) for vote in counted if name in vote.positions] for name in names})


def _borda_share(vote: _Counted, name: str) -> Fraction:
    top = len(vote.positions) - 1
    return (top - vote.positions[name]) / top


def _copeland(counted: Sequence[_Counted], names: Sequence[str]) -> dict[str, Fraction]:
    net = dict.fromkeys(names, Fraction(0))
    for one, other in combinations(names, 2):
        result = _sign(sum(_preference(vote.positions, one, other) for vote in counted))
        net[one] += result
        net[other] -= result
    return net


def _preference(positions: Mapping[str, Fraction], one: str, other: str) -> int:
    """1 when the vote prefers `one`, -1 when it prefers `other`, 0 when it says nothing about the pair."""
    if one not in positions or other not in positions:
        return 0
    return _sign(positions[other] - positions[one])


def _sign(value: int | Fraction) -> int:
    return (value > 0) - (value < 0)


def _pairwise_w(counted: Sequence[_Counted]) -> float | None:
    correlations = []
    seen: set[int] = set()
    for (i, one), (j, other) in combinations(enumerate(counted), 2):
        r = _spearman(one.positions, other.positions)
        if r is not None:
            correlations.append(r)
            seen |= {i, j}
    if not correlations:
        return None
    mean = math.fsum(correlations) / len(correlations)
    return _clamp((mean * (len(seen) - 1) + 1) / len(seen))


def _spearman(one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> float | None:
    """Spearman's rho over the common candidates: Pearson's correlation of their mid-ranks, which handles ties."""
    common = [name for name in one if name in other]
    x = _midranks([one[name] for name in common])
    y = _midranks([other[name] for name in common])
    centre = Fraction(len(common) + 1, 2)
    xx = sum((a - centre) ** 2 for a in x)
    yy = sum((b - centre) ** 2 for b in y)
    if not xx or not yy:
        return None
    xy = sum((a - centre) * (b - centre) for a, b in zip(x, y, strict=True))
    return float(xy) / math.sqrt(xx * yy)


def _midranks(values: Sequence[Fraction]) -> list[Fraction]:
    """1-based ranks, equal values sharing the mean of their ranks."""
    return [sum(v < value for v in values) + Fraction(values.count(value) + 1, 2) for value in values]


def _clamp(value: float) -> float:
    return min(1.0, max(0.0, value))


def _dissent_on(name: str, at: int, counted: Sequence[_Counted]) -> Dissent | None:
    champions = tuple(vote.reviewer for vote in counted if vote.first == name)
    able = [vote.positions for vote in counted if name in vote.positions]
    low = sum(2 * positions[name] > len(positions) - 1 for positions in able)
    if not champions or 2 * low <= len(able):
        return None
    return Dissent(candidate=name, champions=champions, position=at)
