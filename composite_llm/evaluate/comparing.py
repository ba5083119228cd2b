"""What the answers of a comparison tell: accuracies, differences, what each member is worth. Pure."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from composite_llm.evaluate.asked import Asked
from composite_llm.evaluate.questions import Question
from composite_llm.evaluate.report import Difference, Kind, Members, MemberWorth, Row, Share
from composite_llm.evaluate.scoring import Scoring
from composite_llm.evaluate.statistics import (
    FEWEST_DIFFERING,
    LEVEL,
    correlation,
    effective_votes,
    exact_sign_test,
    holm,
    noise_floor,
    paired_difference,
    questions_needed,
    wilson,
)

Place = tuple[str, int]
"""A question's id, and which repeat it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """One scored answer.

    Attributes:
        score: From 0 to 1; None where there was no answer to score.
        read: What the text was understood to answer.
        cost_usd: None where the price is unknown.
        seconds: How long it took.
        tokens: Prompts and answers.
        error: Why there is none.
    """

    score: float | None
    read: Hashable | None
    cost_usd: float | None
    seconds: float
    tokens: int = 0
    error: str | None = None


Results = Mapping[Place, Result]


def scored(answers: Iterable[Asked], questions: Mapping[str, Question], scoring: Scoring) -> dict[Place, Result]:
    """The results of one contestant."""
    found = {}
    for answer in answers:
        question = questions[answer.question]
        tokens = answer.prompt_tokens + answer.completion_tokens
        found[(answer.question, answer.repeat)] = (
            _result(answer.text, question, scoring, answer.cost_usd, answer.seconds, tokens)
            if answer.error is None
            else Result(None, None, answer.cost_usd, answer.seconds, tokens, answer.error)
        )
    return found


def _result(text: str, question: Question, scoring: Scoring, cost: float | None, seconds: float, tokens: int) -> Result:
    score = scoring.of(question)
    return Result(score.right(text, question), score.read(text, question), cost, seconds, tokens)


def members_scored(
    answers: Iterable[Asked], questions: Mapping[str, Question], scoring: Scoring
) -> dict[str, dict[Place, Result]]:
    """The results of each member, from the runs of the subject."""
    found: dict[str, dict[Place, Result]] = {}
    for answer in answers:
        question = questions[answer.question]
        for member in answer.members:
            result = (
                Result(None, None, member.cost_usd, member.seconds, member.tokens, error="failed")
                if member.text is None
                else _result(member.text, question, scoring, member.cost_usd, member.seconds, member.tokens)
            )
            found.setdefault(member.name, {})[(answer.question, answer.repeat)] = result
    return found


def majority_of(members: Mapping[str, Results], *, without: str | None = None) -> dict[Place, Result]:
    """What most members answered; ties go by configuration order. Who failed, or answered nothing that can be read, has no vote."""
    names = [name for name in members if name != without]
    places = dict.fromkeys(place for name in names for place in members[name])
    return {place: _voted([members[name][place] for name in names if place in members[name]]) for place in places}


def _voted(results: Sequence[Result]) -> Result:
    costs = [result.cost_usd for result in results]
    cost = None if None in costs else math.fsum(cost or 0.0 for cost in costs)
    seconds = max((result.seconds for result in results), default=0.0)
    tokens = sum(result.tokens for result in results)
    answered = [result for result in results if result.error is None]
    if not answered:
        return Result(None, None, cost, seconds, tokens, error="all members failed")
    votes = Counter(result.read for result in answered if result.read is not None)
    most = max(votes.values(), default=0)
    winner = next((result for result in answered if votes[result.read] == most), answered[0])
    return Result(winner.score, winner.read, cost, seconds, tokens)


def row(name: str, kind: Kind, results: Results) -> Row:
    """The figures of one contestant."""
    per_question = _by_question(results)
    means = [statistics.fmean(scores) for scores in per_question.values()]
    costs = [result.cost_usd for result in results.values()]
    seconds = [result.seconds for result in results.values() if result.error is None]
    right = math.fsum(means)
    interval = wilson(right, len(means)) if means else None
    return Row(
        name=name,
        kind=kind,
        questions=len(means),
        right=round(right, 6),
        accuracy=Share.of(interval),
        cost_usd=None if None in costs or not costs else math.fsum(cost or 0.0 for cost in costs) / len(costs),
        seconds=statistics.fmean(seconds) if seconds else None,
        median_seconds=statistics.median(seconds) if seconds else None,
        tokens=statistics.fmean(result.tokens for result in results.values()) if results else None,
        errors=sum(result.error is not None for result in results.values()),
        unread=sum(result.error is None and result.read is None for result in results.values()),
        noise_floor=noise_floor(list(per_question.values())),
    )


def _by_question(results: Results) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for (question, _), result in results.items():
        if result.score is not None:
            found.setdefault(question, []).append(result.score)
    return found


def differences(subject: Results, others: Mapping[str, Results], costs: Mapping[str, float | None]) -> list[Difference]:
    """The subject against each of the others, on the questions that both answered.

    Args:
        subject: Its results.
        others: Theirs.
        costs: By the others' names, how much more the subject costs for each question; None where unknown.
    """
    own = {question: statistics.fmean(scores) for question, scores in _by_question(subject).items()}
    splits: dict[str, list[float]] = {}
    for name, results in others.items():
        theirs = _by_question(results)
        splits[name] = [own[question] - statistics.fmean(theirs[question]) for question in own if question in theirs]
    p_values = {name: exact_sign_test(*_counts(split)) for name, split in splits.items()}
    adjusted = holm(p_values)
    return [difference(name, split, p_values[name], adjusted[name], costs.get(name)) for name, split in splits.items()]


def _counts(split: Sequence[float]) -> tuple[int, int]:
    return sum(one > 0 for one in split), sum(one < 0 for one in split)


def difference(name: str, split: Sequence[float], p: float, p_adjusted: float, more_usd: float | None) -> Difference:
    """What the questions, each with what the subject has more, tell of one pair."""
    questions = len(split)
    better, worse = _counts(split)
    gained = math.fsum(one for one in split if one > 0)
    lost = -math.fsum(one for one in split if one < 0)
    interval = paired_difference(gained, lost, questions) if questions else None
    needed = questions_needed(gained / questions, lost / questions) if questions else None
    points = 100 * interval.estimate if interval is not None else 0.0
    return Difference(
        against=name,
        questions=questions,
        only_subject_right=better,
        only_other_right=worse,
        difference=Share.of(interval),
        p=p,
        p_adjusted=p_adjusted,
        questions_needed=needed,
        usd_per_point=more_usd / points if more_usd is not None and points > 0 and more_usd > 0 else None,
        distinguishable=p_adjusted < LEVEL,
        verdict=_verdict(name, questions, better, worse, points, p_adjusted, needed),
    )


def _verdict(
    name: str, questions: int, better: int, worse: int, points: float, p_adjusted: float, needed: int | None
) -> str:
    if not questions:
        return f"no question was answered by both it and {name}"
    if p_adjusted < LEVEL:
        word = "better" if points > 0 else "worse"
        return f"{word} than {name} by {abs(points):.1f} points (p = {p_adjusted:.3f})"
    said = f"not distinguishable from {name} at n={questions}"
    if better + worse < FEWEST_DIFFERING:
        few = f"they differ on {better + worse}, and fewer than {FEWEST_DIFFERING} can tell nothing"
        return f"{said}: the sample is too small ({few})"
    if needed is not None and needed > questions:
        return f"{said} ({points:+.1f} points, p = {p_adjusted:.2f}; about {needed} questions would tell such a difference)"
    return f"{said} ({points:+.1f} points, p = {p_adjusted:.2f})"


def members_worth(
    subject: Results, members: Mapping[str, Results], answers: Sequence[Asked], *, costs: Mapping[str, float | None]
) -> Members:
    """What the members have to do with the subject's right and wrong answers.

    Args:
        subject: Its results.
        members: Theirs, in the order of the configuration.
        answers: The subject's, with their ballots.
        costs: Of each member, for a question.
    """
    majority = majority_of(members)
    counts: Counter[str] = Counter()
    agreed: list[float] = []
    for place, final in subject.items():
        results = [results[place] for results in members.values() if place in results]
        usable = [result for result in results if result.score is not None]
        if final.score is None or not usable:
            continue
        counts["runs"] += 1
        anybody, most, own = any(map(_is_right, usable)), _is_right(majority[place]), _is_right(final)
        counts["anybody"] += anybody
        counts["lost"] += anybody and not own
        counts["lost_majority"] += most and not own
        counts["mended"] += own and not most
        counts["mended_alone"] += own and not anybody
        agreed += [float(one.read == other.read) for one, other in combinations(usable, 2) if one.read is not None]
    mean_correlation = _mean_correlation(list(members.values()))
    ballots = sum(answer.ballots for answer in answers)
    return Members(
        runs=counts["runs"],
        agreement=statistics.fmean(agreed) if agreed else None,
        correlation=mean_correlation,
        effective_votes=effective_votes(len(members), mean_correlation) if mean_correlation is not None else None,
        anybody_right=counts["anybody"],
        lost=counts["lost"],
        lost_against_majority=counts["lost_majority"],
        mended=counts["mended"],
        mended_alone=counts["mended_alone"],
        ballots=ballots,
        abstained=sum(answer.abstained for answer in answers),
        positional=sum("positional_ballot" in answer.degraded for answer in answers),
        degraded=dict(Counter(code for answer in answers for code in answer.degraded)),
        worth=[_worth(name, members, majority, costs.get(name)) for name in members],
    )


def _is_right(result: Result) -> bool:
    return result.score is not None and result.score >= 0.5


def _worth(name: str, members: Mapping[str, Results], whole: Results, cost: float | None) -> MemberWorth:
    """How the majority fares without one member."""
    rest = majority_of(members, without=name) if len(members) > 1 else {}
    shared = [place for place in whole if place in rest and None not in (whole[place].score, rest[place].score)]
    gained = sum(_is_right(whole[place]) and not _is_right(rest[place]) for place in shared)
    lost = sum(_is_right(rest[place]) and not _is_right(whole[place]) for place in shared)
    alone = sum(
        _is_right(result)
        and not any(_is_right(other[place]) for key, other in members.items() if key != name and place in other)
        for place, result in members[name].items()
    )
    points = 100 * (gained - lost) / len(shared) if shared else None
    return MemberWorth(name=name, majority_points=points, only_one_right=alone, cost_usd=cost)


def _mean_correlation(members: Sequence[Results]) -> float | None:
    found = []
    for one, other in combinations(members, 2):
        pairs = [
            (float(one[place].score or 0.0), float(other[place].score or 0.0))
            for place in one
            if place in other and one[place].score is not None and other[place].score is not None
        ]
        value = correlation(pairs)
        if value is not None:
            found.append(value)
    return statistics.fmean(found) if found else None
