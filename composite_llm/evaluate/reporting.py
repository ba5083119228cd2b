"""The report of a comparison, from its answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from composite_llm.evaluate.asked import Asked
from composite_llm.evaluate.comparing import (
    Result,
    Results,
    differences,
    majority_of,
    members_scored,
    members_worth,
    row,
    scored,
)
from composite_llm.evaluate.contestants import MAJORITY, MEMBERS, SOLO
from composite_llm.evaluate.judging import Judged, preference
from composite_llm.evaluate.report import Judging, Kind, Preference, Report, Row, Share
from composite_llm.evaluate.running import Bench
from composite_llm.evaluate.statistics import LEVEL, exact_sign_test, holm, wilson


def report_of(bench: Bench) -> Report:
    """What has been found until now."""
    answers = {contestant.name: _answers(bench, contestant.name) for contestant in bench.contestants}
    own = answers[bench.subject.name]
    results = {name: _results(bench, found) for name, found in answers.items()}
    members = _members(bench, own)
    rows = [row(name, _kind(bench, name), found) for name, found in results.items()]
    if MEMBERS in bench.derived:
        rows += [row(name, "member", found) for name, found in members.items()]
    judged = bench.settings.judge is not None
    if MAJORITY in bench.derived and members:
        rows.append(row(MAJORITY, "majority", majority_of(members)))
    costs = {found.name: found.cost_usd for found in rows}
    compared = {name: found for name, found in results.items() if name != bench.subject.name}
    if MEMBERS in bench.derived:
        compared |= members
    if MAJORITY in bench.derived and members:
        compared[MAJORITY] = majority_of(members)
    everything = [answer for found in answers.values() for answer in found]
    return Report(
        subject=bench.subject.name,
        model=bench.subject.model,
        questions=len(bench.questions),
        repeat=bench.settings.repeat,
        complete=bench.finished,
        rows=_unscored(rows) if judged else rows,
        differences=[]
        if judged
        else differences(results[bench.subject.name], compared, _more(costs, bench.subject.name)),
        members=members_worth(results[bench.subject.name], members, own, costs=_costs(members))
        if members and not judged
        else None,
        preferences=_preferences(bench, [found.name for found in rows]) if judged else [],
        judging=_judging(bench) if judged else None,
        cost_usd=_sum(
            [answer.cost_usd for answer in everything] + [verdict.cost_usd for verdict in bench.judged.values()]
        ),
        spent_usd=bench.spent_usd,
        failures=dict(Counter(f"{answer.error_class} ({answer.status_code})" for answer in everything if answer.error)),
    )


def _answers(bench: Bench, name: str) -> list[Asked]:
    places = ((question.id, repeat) for question in bench.questions for repeat in range(bench.settings.repeat))
    found = (bench.answer(name, *place) for place in places)
    return [answer for answer in found if answer is not None]


def _results(bench: Bench, answers: Sequence[Asked]) -> Results:
    if bench.settings.judge is not None:
        return {(one.question, one.repeat): _without_score(one) for one in answers}
    return scored(answers, {question.id: question for question in bench.questions}, bench.settings.scoring)


def _without_score(answer: Asked) -> Result:
    tokens = answer.prompt_tokens + answer.completion_tokens
    return Result(None, "", answer.cost_usd, answer.seconds, tokens, answer.error)


def _members(bench: Bench, own: Sequence[Asked]) -> dict[str, Results]:
    if bench.settings.judge is None:
        questions = {question.id: question for question in bench.questions}
        return dict(members_scored(own, questions, bench.settings.scoring))
    found: dict[str, dict[tuple[str, int], Result]] = {}
    for answer in own:
        for member in answer.members:
            error = None if member.text is not None else "failed"
            result = Result(None, "", member.cost_usd, member.seconds, member.tokens, error)
            found.setdefault(member.name, {})[(answer.question, answer.repeat)] = result
    return dict(found)


def _kind(bench: Bench, name: str) -> Kind:
    if name == bench.subject.name:
        return "subject"
    return "solo" if name == SOLO else "contestant"


def _unscored(rows: Sequence[Row]) -> list[Row]:
    return [one.model_copy(update={"accuracy": None, "right": 0.0, "unread": 0}) for one in rows]


def _more(costs: dict[str, float | None], subject: str) -> dict[str, float | None]:
    """How much more the subject costs than each of the others."""
    own = costs[subject]
    return {name: own - cost if own is not None and cost is not None else None for name, cost in costs.items()}


def _costs(members: dict[str, Results]) -> dict[str, float | None]:
    totals = {name: _sum([result.cost_usd for result in results.values()]) for name, results in members.items()}
    return {name: None if total is None else total / len(members[name]) for name, total in totals.items()}


def _sum(costs: Iterable[float | None]) -> float | None:
    known = list(costs)
    return None if None in known else math.fsum(cost or 0.0 for cost in known)


def _pairs(bench: Bench) -> dict[str, list[tuple[Judged, Judged]]]:
    """Both orders of each pair, by the other one's name; the subject is first in the first of the two."""
    own = bench.subject.name
    by_place = {(one.question, one.repeat, one.left, one.right): one for one in bench.judged.values()}
    found: dict[str, list[tuple[Judged, Judged]]] = {}
    for (question, repeat, left, right), one in by_place.items():
        turned = by_place.get((question, repeat, right, left))
        if left == own and turned is not None:
            found.setdefault(right, []).append((one, turned))
    return found


def _preferences(bench: Bench, names: Sequence[str]) -> list[Preference]:
    """Against each of the names that was judged, in their order."""
    pairs = _pairs(bench)
    points: dict[str, list[float]] = {}
    for name in (name for name in names if name in pairs):
        values = [preference(one, turned) for one, turned in pairs[name]]
        points[name] = [value for value in values if value is not None]
    counts = {
        name: (sum(one > 0.5 for one in found), sum(one < 0.5 for one in found)) for name, found in points.items()
    }
    p_values = {name: exact_sign_test(*count) for name, count in counts.items()}
    adjusted = holm(p_values)
    return [_preference(name, points[name], counts[name], p_values[name], adjusted[name]) for name in points]


def _preference(name: str, points: Sequence[float], count: tuple[int, int], p: float, p_adjusted: float) -> Preference:
    wins, losses = count
    interval = wilson(sum(points), len(points)) if points else None
    if not points:
        verdict = f"no pair with {name} was judged in both orders"
    elif p_adjusted < LEVEL:
        verdict = f"{'preferred' if wins > losses else 'not preferred'} to {name} (p = {p_adjusted:.3f})"
    else:
        verdict = f"not distinguishable from {name} at n={len(points)} (p = {p_adjusted:.2f})"
    return Preference(
        against=name,
        pairs=len(points),
        wins=wins,
        losses=losses,
        ties=len(points) - wins - losses,
        win_rate=Share.of(interval),
        p=p,
        p_adjusted=p_adjusted,
        distinguishable=p_adjusted < LEVEL,
        verdict=verdict,
    )


def _judging(bench: Bench) -> Judging:
    assert bench.settings.judge is not None
    verdicts = list(bench.judged.values())
    decided = [one.winner for one in verdicts if one.winner in ("first", "second")]
    contradictions = sum(
        one.winner == turned.winner and one.winner in ("first", "second")
        for pairs in _pairs(bench).values()
        for one, turned in pairs
    )
    return Judging(
        model=bench.settings.judge,
        verdicts=len(verdicts),
        unread=sum(one.winner is None for one in verdicts),
        first_preferred=sum(winner == "first" for winner in decided) / len(decided) if decided else None,
        contradictions=contradictions,
        cost_usd=_sum(one.cost_usd for one in verdicts),
    )
