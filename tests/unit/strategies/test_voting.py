"""Counting votes: worked examples from the literature, the rules for missing candidates, and general properties."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.strategies.voting import (
    Dissent,
    Method,
    Tally,
    Vote,
    concordance,
    dissent,
    kendall_w,
    rank,
    without_self,
)

METHODS: tuple[Method, ...] = ("borda", "mean_position", "copeland")


def profile(*blocks: tuple[int, str]) -> list[Vote]:
    """Votes from (how many, "A B C"), with everybody eligible."""
    everyone = tuple(sorted(blocks[0][1].split()))
    rankings = [ranking for count, ranking in blocks for _ in range(count)]
    return [Vote(f"voter {at}", everyone, tuple(ranking.split())) for at, ranking in enumerate(rankings)]


TENNESSEE = profile(
    (42, "Memphis Nashville Chattanooga Knoxville"),
    (26, "Nashville Chattanooga Knoxville Memphis"),
    (15, "Chattanooga Knoxville Nashville Memphis"),
    (17, "Knoxville Chattanooga Nashville Memphis"),
)
CITIES = ("Memphis", "Nashville", "Chattanooga", "Knoxville")
CONDORCET_81 = profile((30, "A B C"), (1, "A C B"), (10, "C A B"), (1, "C B A"), (29, "B A C"), (10, "B C A"))
CONDORCET_60 = profile((23, "A B C"), (17, "B C A"), (2, "B A C"), (10, "C A B"), (8, "C B A"))


def points(tally: Tally, candidates: int) -> dict[str, float]:
    """The classical Borda points behind the normalised scores of complete votes."""
    return {name: round(score * tally.ballots_counted * (candidates - 1), 6) for name, score in tally.scores.items()}


def test_borda_of_the_tennessee_capital() -> None:
    """Wikipedia, "Borda count", example of the capital of Tennessee: 194, 173, 126 and 107 points."""
    tally = rank(TENNESSEE, CITIES, "borda")
    assert points(tally, 4) == {"Nashville": 194, "Chattanooga": 173, "Memphis": 126, "Knoxville": 107}
    assert tally.order == ("Nashville", "Chattanooga", "Memphis", "Knoxville")
    assert tally.first_places == {"Memphis": 42, "Nashville": 26, "Chattanooga": 15, "Knoxville": 17}
    assert tally.ballots_counted == 100
    assert tally.ties == ()


def test_copeland_of_the_tennessee_capital() -> None:
    """Wikipedia, "Copeland's method", same example: 3, 2, 1 and 0 pairwise wins, so 3, 1, -1, -3 wins minus losses."""
    tally = rank(TENNESSEE, CITIES, "copeland")
    assert tally.scores == {"Nashville": 3, "Chattanooga": 1, "Knoxville": -1, "Memphis": -3}
    assert tally.order == ("Nashville", "Chattanooga", "Knoxville", "Memphis")


def test_mean_position_of_the_tennessee_capital() -> None:
    """Same example; by hand, Nashville: (42 * 2 + 26 * 1 + 15 * 3 + 17 * 3) / 100 = 2.06. Positions are 4 - points."""
    tally = rank(TENNESSEE, CITIES, "mean_position")
    assert tally.scores == {"Memphis": 2.74, "Nashville": 2.06, "Chattanooga": 2.27, "Knoxville": 2.93}
    assert tally.scores == tally.mean_positions
    assert tally.order == ("Nashville", "Chattanooga", "Memphis", "Knoxville")


def test_borda_and_condorcet_disagree() -> None:
    """Condorcet, 1788, 81 voters: A beats B 41:40 and C 60:21, and yet has 101 Borda points to B's 109; C has 33."""
    borda, copeland = rank(CONDORCET_81, "ABC", "borda"), rank(CONDORCET_81, "ABC", "copeland")
    assert points(borda, 3) == {"A": 101, "B": 109, "C": 33}
    assert borda.order == ("B", "A", "C")
    assert copeland.scores == {"A": 2, "B": 0, "C": -2}
    assert copeland.order == ("A", "B", "C")


def test_condorcet_cycle_of_sixty_voters() -> None:
    """Condorcet, Essai, 1785, 60 voters: A beats B 33:27, B beats C 42:18, C beats A 35:25. Borda: 58, 69, 53.

    All are tied by Copeland; mean positions, which follow the Borda points, break the tie.
    """
    tally = rank(CONDORCET_60, "ABC", "copeland")
    assert set(tally.scores.values()) == {0.0}
    assert points(rank(CONDORCET_60, "ABC", "borda"), 3) == {"A": 58, "B": 69, "C": 53}
    assert tally.order == ("B", "A", "C")
    assert tally.ties == (("B", "A", "C"),)


@pytest.mark.parametrize("method", METHODS)
def test_rock_paper_scissors(method: Method) -> None:
    """The smallest Condorcet paradox (K. Arrow, 1951): three votes in a circle tie everybody; configuration decides."""
    votes = profile((1, "A B C"), (1, "B C A"), (1, "C A B"))
    tally = rank(votes, ("B", "C", "A"), method)
    assert tally.order == ("B", "C", "A")
    assert tally.ties == (("B", "C", "A"),)


def test_tie_broken_by_first_places() -> None:
    """By hand: X at 1 and 3, Y at 2 and 2. Equal points and mean position, but X has a first place."""
    votes = [Vote("r", ("Y", "X", "Z"), ("X", "Y", "Z")), Vote("s", ("Y", "X", "Z"), ("Z", "Y", "X"))]
    tally = rank(votes, ("Y", "X", "Z"), "borda")
    assert tally.order == ("X", "Z", "Y")
    assert tally.ties == (("X", "Z", "Y"),)


def test_unranked_are_tied_last() -> None:
    """Mid-ranks (Kendall 1945): after A, three share (2 + 3 + 4) / 3 = 3, so (3 - 2) / 3 of the points each."""
    tally = rank([Vote("r", tuple("ABCD"), ("A",))], "ABCD", "borda")
    assert tally.scores == pytest.approx({"A": 1.0, "B": 1 / 3, "C": 1 / 3, "D": 1 / 3})
    assert tally.mean_positions == {"A": 1, "B": 3, "C": 3, "D": 3}
    assert tally.ties == (("B", "C", "D"),)
    assert rank([Vote("r", tuple("ABCD"), ("A",))], "ABCD", "copeland").scores == {"A": 3, "B": -1, "C": -1, "D": -1}


def test_not_eligible_has_no_effect() -> None:
    """Three authors who all find the others' order A > B > C: nobody loses points on the own, silent vote."""
    votes = without_self(
        {"a": ("A", "B", "C"), "b": ("A", "B", "C"), "c": ("A", "B", "C")}, "ABC", {"A": "a", "B": "b", "C": "c"}
    )
    assert votes == (
        Vote("a", ("B", "C"), ("B", "C")),
        Vote("b", ("A", "C"), ("A", "C")),
        Vote("c", ("A", "B"), ("A", "B")),
    )
    tally = rank(votes, "ABC", "borda")
    assert tally.scores == {"A": 1.0, "B": 0.5, "C": 0.0}
    assert tally.mean_positions == {"A": 1, "B": 1.5, "C": 2}


def test_candidates_without_author_are_eligible_for_all() -> None:
    assert without_self({"a": ("X", "A", "X")}, ("A", "X"), {"A": "a"}) == (Vote("a", ("X",), ("X",)),)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("candidates", [(), ("A",), ("B", "A", "C")])
def test_no_information(method: Method, candidates: tuple[str, ...]) -> None:
    """Abstentions, single-candidate votes and no votes at all leave the configuration's order."""
    votes = [Vote("r", candidates, ()), Vote("s", candidates[:1], candidates[:1]), Vote("t", ("Q", "R"), ("Q",))]
    for some in (votes, []):
        tally = rank(some, candidates, method)
        assert tally.order == candidates
        assert tally.ballots_counted == 0
        assert set(tally.scores.values()) <= {0.0}
        assert set(tally.mean_positions.values()) <= {0.0}
        assert tally.ties == ((candidates,) if len(candidates) > 1 else ())


def test_candidate_nobody_could_rank() -> None:
    votes = [Vote("a", ("B", "C"), ("C", "B"))]
    assert rank(votes, "ABC", "borda").order == ("C", "B", "A")
    assert rank(votes, "ABC", "borda").ties == (("B", "A"),)
    assert rank(votes, "ABC", "mean_position").order == ("C", "B", "A")
    assert rank(votes, "ABC", "mean_position").scores == {"A": 0.0, "B": 2.0, "C": 1.0}
    assert rank(votes, "ABC", "copeland").order == ("C", "A", "B")


def test_noise_in_votes_is_ignored() -> None:
    clean = rank([Vote("r", ("A", "B"), ("B", "A"))], "AB", "borda")
    assert rank([Vote("r", ("A", "Z", "B"), ("Z", "B", "B", "A"))], "ABA", "borda") == clean


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Vote("r", (), ()).reviewer = "s"  # type: ignore[misc]


# --- Concordance -----------------------------------------------------------------------------------------------------


def test_w_of_strawberry_judges() -> None:
    """InfluentialPoints, "Coefficient of concordance", worked example I: 4 raters, 8 farms, W = 0.744.

    By hand: rank sums 31, 12, 12, 15, 22, 5, 22, 25 around 18 give S = 500 and 12 * 500 / (16 * 504) = 0.7440.
    """
    raters = ["84235167", "73145268", "82567143", "83425167"]
    ranks = [[float(rank) for rank in row] for row in raters]
    assert concordance(ranks) == pytest.approx(500 / 672)
    farms = [f"farm {at}" for at in range(1, 9)]
    votes = [
        Vote(f"rater {at}", tuple(farms), tuple(farm for _, farm in sorted(zip(row, farms, strict=True))))
        for at, row in enumerate(raters)
    ]
    assert kendall_w(votes, farms) == pytest.approx(500 / 672)


def test_w_with_ties_of_bird_measurements() -> None:
    """J. H. Zar, "Biostatistical Analysis", example 20.5: wing, tail and bill length of 12 birds, with tied ranks.

    By hand: the rank sums (14.5, 21, 30.5, 6, 11, 3.5, 20, 11.5, 29, 28.5, 22.5, 36) give S = 5738.5 - 234^2 / 12 =
    1175.5. Ties: wing 6 + 6, tail 6 + 24 + 6, bill 6 + 6, so T = 60.
    W = 12 * 1175.5 / (9 * (1728 - 12) - 3 * 60) = 14106 / 15264.
    """
    wing = [4, 8.5, 10, 1.5, 3, 1.5, 7, 5, 8.5, 11, 6, 12]
    tail = [5, 7, 11, 2.5, 5, 1, 5, 2.5, 9.5, 8, 9.5, 12]
    bill = [5.5, 5.5, 9.5, 2, 3, 1, 8, 4, 11, 9.5, 7, 12]
    assert concordance([wing, tail, bill]) == pytest.approx(14106 / 15264)


def test_w_of_partial_votes() -> None:
    """Siegel & Castellan's correction, by hand: A first and three tied at 3, against A, B and two tied at 3.5.

    Rank sums 2, 5, 6.5, 6.5 around 5: S = 9 + 0 + 2.25 + 2.25 = 13.5. T = (27 - 3) + (8 - 2) = 30.
    W = 12 * 13.5 / (4 * 60 - 2 * 30) = 0.9.
    """
    votes = [Vote("r", tuple("ABCD"), ("A",)), Vote("s", tuple("ABCD"), ("A", "B"))]
    assert kendall_w(votes, "ABCD") == pytest.approx(0.9)


def test_w_at_its_ends() -> None:
    assert kendall_w(profile((3, "A B C D")), "ABCD") == pytest.approx(1)
    assert kendall_w(profile((1, "A B C D"), (1, "D C B A")), "ABCD") == pytest.approx(0)
    assert kendall_w(profile((1, "A B C"), (1, "B C A"), (1, "C A B")), "ABC") == pytest.approx(0)


def test_w_undefined() -> None:
    assert kendall_w([], "ABC") is None
    assert kendall_w(profile((1, "A B C")), "ABC") is None
    assert kendall_w(profile((3, "A B C")), "A") is None
    assert concordance([]) is None
    assert concordance([[1.0], [1.0]]) is None
    assert concordance([[1.5, 1.5], [1.5, 1.5]]) is None
    three = without_self(dict.fromkeys("abc", ("A", "B", "C")), "ABC", {"A": "a", "B": "b", "C": "c"})
    assert kendall_w(three, "ABC") is None


def test_w_of_incomplete_votes() -> None:
    """Kendall & Babington Smith 1939, W = (r (m - 1) + 1) / m, by hand.

    Four authors, three in the order A B C D, d in the reverse. Each pair has two candidates in common: the three pairs
    among a, b, c agree (r = 1), the three pairs with d disagree (r = -1). So r = 0 and W = 1 / 4.
    """
    author_of = {name: name.lower() for name in "ABCD"}
    ballots = {"a": "ABCD", "b": "ABCD", "c": "ABCD", "d": "DCBA"}
    assert kendall_w(without_self(ballots, "ABCD", author_of), "ABCD") == pytest.approx(1 / 4)
    unanimous = without_self(dict.fromkeys("abcd", "ABCD"), "ABCD", author_of)
    assert kendall_w(unanimous, "ABCD") == pytest.approx(1)


def test_w_leaves_out_pairs_without_information() -> None:
    """The third vote ties B and C, which is all it has in common with the others; the other two agree."""
    votes = [
        Vote("r", tuple("ABC"), tuple("ABC")),
        Vote("s", tuple("BCA"), tuple("ABC")),
        Vote("t", tuple("BCD"), ("D",)),
    ]
    assert kendall_w(votes, "ABCD") == pytest.approx(1)


# --- Dissent ---------------------------------------------------------------------------------------------------------


def test_dissent() -> None:
    """D is first for one of three and last for two; A is first for two."""
    votes = profile((2, "A B C D"), (1, "D A B C"))
    order = rank(votes, "ABCD", "borda").order
    assert dissent(votes, order) == (Dissent("D", ("voter 2",), order.index("D") + 1),)


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        # The middle of five is not the lower half; position 4 is.
        ([(1, "A B C D E"), (2, "B C A D E")], []),
        ([(1, "A B C D E"), (2, "B C D A E")], ["A"]),
        # Exactly half is no majority.
        ([(2, "A B C D"), (2, "B C D A")], []),
        # Nobody has C first.
        ([(3, "A B C")], []),
    ],
)
def test_dissent_limits(blocks: list[tuple[int, str]], found: list[str]) -> None:
    votes = profile(*blocks)
    assert [one.candidate for one in dissent(votes, votes[0].eligible)] == found


def test_dissent_counts_eligible_reviewers_only() -> None:
    """D's author cannot rank D: one champion against two of three eligible."""
    votes = [
        Vote("a", ("B", "C", "D"), ("D", "B", "C")),
        Vote("b", ("A", "C", "D"), ("A", "C", "D")),
        Vote("c", ("A", "B", "D"), ("A", "B")),
        Vote("d", ("A", "B", "C"), ("A", "B", "C")),
    ]
    assert dissent(votes, ("A", "B", "C", "D")) == (Dissent("D", ("a",), 4),)
    assert dissent([], ("A", "B")) == ()


# --- Properties ------------------------------------------------------------------------------------------------------


@st.composite
def elections(draw: st.DrawFn) -> tuple[list[Vote], tuple[str, ...]]:
    names = tuple(f"c{at}" for at in range(draw(st.integers(1, 6))))
    votes = []
    for at in range(draw(st.integers(0, 6))):
        eligible = tuple(draw(st.lists(st.sampled_from(names), unique=True)))
        ranking = draw(st.permutations(eligible))[: draw(st.integers(0, len(eligible)))]
        votes.append(Vote(f"r{at}", eligible, tuple(ranking)))
    return votes, names


@given(elections(), st.sampled_from(METHODS))
def test_tally_is_well_formed(election: tuple[list[Vote], tuple[str, ...]], method: Method) -> None:
    votes, names = election
    tally = rank(votes, names, method)
    assert sorted(tally.order) == sorted(names)
    assert set(tally.scores) == set(tally.mean_positions) == set(tally.first_places) == set(names)
    assert sum(tally.first_places.values()) == tally.ballots_counted <= len(votes)
    assert all(len({tally.scores[name] for name in group}) == 1 for group in tally.ties)
    if method == "borda":
        assert all(0 <= score <= 1 for score in tally.scores.values())
        assert sorted(tally.scores.values(), reverse=True) == [tally.scores[name] for name in tally.order]
    assert rank(list(reversed(votes)), names, method) == tally


@given(elections())
def test_w_and_dissent_are_well_formed(election: tuple[list[Vote], tuple[str, ...]]) -> None:
    votes, names = election
    w = kendall_w(votes, names)
    assert w is None or 0 <= w <= 1
    for one in dissent(votes, names):
        assert one.champions
        assert names[one.position - 1] == one.candidate


@given(elections(), st.sampled_from(METHODS))
def test_neutrality(election: tuple[list[Vote], tuple[str, ...]], method: Method) -> None:
    """Renaming the candidates renames the result and changes nothing else."""
    votes, names = election
    # Names that sort the other way round.
    new = {name: f"{len(names) - at}-{name}" for at, name in enumerate(names)}
    renamed = [
        Vote(vote.reviewer, tuple(new[name] for name in vote.eligible), tuple(new[name] for name in vote.ranking))
        for vote in votes
    ]
    before, after = rank(votes, names, method), rank(renamed, [new[name] for name in names], method)
    assert after.order == tuple(new[name] for name in before.order)
    assert after.scores == {new[name]: score for name, score in before.scores.items()}
    assert kendall_w(renamed, list(new.values())) == kendall_w(votes, names)


@given(elections(), st.sampled_from(("borda", "copeland")), st.data())
def test_monotonicity(election: tuple[list[Vote], tuple[str, ...]], method: Method, data: st.DataObject) -> None:
    """Raising a candidate by one place on one vote never lowers its score, and never raises a rival's it passed."""
    votes, names = election
    movable = [(at, place) for at, vote in enumerate(votes) for place in range(1, len(vote.ranking))]
    if not movable:
        return
    at, place = data.draw(st.sampled_from(movable))
    ranking = list(votes[at].ranking)
    raised, passed = ranking[place], ranking[place - 1]
    ranking[place - 1 : place + 1] = [raised, passed]
    after = rank([*votes[:at], Vote("r", votes[at].eligible, tuple(ranking)), *votes[at + 1 :]], names, method)
    before = rank(votes, names, method)
    assert after.scores[raised] >= before.scores[raised]
    assert after.scores[passed] <= before.scores[passed]


@given(st.integers(2, 5), st.data())
def test_without_self_closes_gaps(n: int, data: st.DataObject) -> None:
    names = [f"c{at}" for at in range(n)]
    author_of = {name: f"r{at}" for at, name in enumerate(names)}
    ballots = {reviewer: data.draw(st.permutations(names)) for reviewer in author_of.values()}
    for vote in without_self(ballots, names, author_of):
        assert all(author_of[name] != vote.reviewer for name in (*vote.eligible, *vote.ranking))
        assert list(vote.ranking) == [name for name in ballots[vote.reviewer] if author_of[name] != vote.reviewer]
        assert len(vote.eligible) == len(vote.ranking) == n - 1


@given(st.integers(2, 6), st.data())
def test_placing_the_own_answer_makes_no_difference(n: int, data: st.DataObject) -> None:
    """Wherever a reviewer puts the own answer, everything counted stays the same."""
    names = [f"c{at}" for at in range(n)]
    rest = data.draw(st.permutations(names[1:]))
    ballots = [{"r0": [*rest[:at], names[0], *rest[at:]]} for at in range(n)]
    tallies = [rank(without_self(ballot, names, {names[0]: "r0"}), names, "borda") for ballot in ballots]
    assert all(tally == tallies[0] for tally in tallies)


def test_mean_spearman_identity() -> None:
    """For complete rankings without ties both formulas of W agree, checked on all pairs of rankings of four."""
    base = tuple("ABCD")
    for other in permutations(base):
        complete = [Vote("r", base, base), Vote("s", base, other)]
        # A candidate only one of them could rank makes the sets differ, and is left out of the pair.
        incomplete = [Vote("r", base, base), Vote("s", (*base, "E"), (*other, "E"))]
        assert kendall_w(incomplete, (*base, "E")) == pytest.approx(kendall_w(complete, base))
