"""What the answers tell: counted by hand here."""

from __future__ import annotations

import pytest

from composite_llm.evaluate.asked import Asked, MemberAnswer
from composite_llm.evaluate.comparing import (
    Result,
    differences,
    majority_of,
    members_scored,
    members_worth,
    row,
    scored,
)
from composite_llm.evaluate.markdown import markdown
from composite_llm.evaluate.page import page
from composite_llm.evaluate.questions import Question
from composite_llm.evaluate.report import Report
from composite_llm.evaluate.scoring import Scoring

# Of each question: what the final answer, and what the three members, answered; 1 is right; None is a failure.
RUNS: list[tuple[str | None, list[str | None]]] = [
    ("1", ["1", "1", "2"]),
    ("2", ["1", "1", "2"]),  # lost, against a right majority
    ("2", ["1", "2", "2"]),  # lost, with a wrong majority
    ("1", ["2", "2", "1"]),  # mended
    ("1", ["2", "3", "4"]),  # mended, though nobody was right
    ("2", ["2", None, "2"]),
    (None, ["1", "1", "1"]),  # an error is neither
]
QUESTIONS = {str(number): Question(id=str(number), question="?", answer=1) for number in range(len(RUNS))}


def answers() -> list[Asked]:
    return [
        Asked(
            key=str(number),
            question=str(number),
            contestant="it",
            text=f"Answer: {final}" if final else "",
            error=None if final else "failed",
            error_class=None if final else "QuorumNotMet",
            cost_usd=0.04,
            seconds=2.0,
            ballots=3,
            abstained=1,
            members=[
                MemberAnswer(name=name, text=text and f"Answer: {text}", cost_usd=0.01, seconds=place + 1.0)
                for place, (name, text) in enumerate(zip("abc", members, strict=True))
            ],
        )
        for number, (final, members) in enumerate(RUNS)
    ]


def test_lost_and_mended_answers_are_counted() -> None:
    subject = scored(answers(), QUESTIONS, Scoring())
    members = members_scored(answers(), QUESTIONS, Scoring())
    found = members_worth(subject, members, answers(), costs=dict.fromkeys("abc", 0.01))
    assert (found.runs, found.anybody_right) == (6, 4)
    assert (found.lost, found.lost_against_majority) == (2, 1)
    assert (found.mended, found.mended_alone) == (2, 1)
    assert (found.ballots, found.abstained) == (21, 7)
    # 1 + 1 + 1 + 1 + 0 + 1 of 3 + 3 + 3 + 3 + 3 + 1 pairs.
    assert found.agreement == pytest.approx(5 / 16)
    assert [(one.name, one.only_one_right) for one in found.worth] == [("a", 1), ("b", 0), ("c", 1)]


def test_the_majority_takes_the_first_member_of_a_tie_and_the_time_of_the_slowest() -> None:
    members = members_scored(answers(), QUESTIONS, Scoring())
    found = majority_of(members)
    assert [found[(str(number), 0)].score for number in range(7)] == [1, 1, 0, 0, 0, 0, 1]
    assert found[("0", 0)].seconds == 3.0
    assert found[("0", 0)].cost_usd == pytest.approx(0.03)
    assert majority_of(members, without="a")[("0", 0)].score == 1


def test_a_majority_of_members_who_all_failed_is_an_error() -> None:
    gone = {"a": {("0", 0): Result(None, None, 0.0, 1.0, error="failed")}}
    assert majority_of(gone)[("0", 0)].error == "all members failed"


def test_errors_are_counted_apart_and_unknown_prices_stay_unknown() -> None:
    results = scored(answers(), QUESTIONS, Scoring())
    found = row("it", "subject", results)
    assert (found.questions, found.right, found.errors) == (6, 3.0, 1)
    assert found.cost_usd == pytest.approx(0.04)
    unpriced = {**results, ("x", 0): Result(1.0, 1, None, 1.0)}
    assert row("it", "subject", unpriced).cost_usd is None


def results(pattern: str) -> dict[tuple[str, int], Result]:
    return {(str(place), 0): Result(float(one), one, 0.01, 1.0) for place, one in enumerate(pattern)}


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ("1" * 20 + "0" * 20, "1" * 20 + "0" * 20, "too small (they differ on 0, and fewer than 6"),
        ("1" * 25 + "0" * 15, "1" * 20 + "0" * 20, "too small (they differ on 5, and fewer than 6"),
        ("1" * 26 + "0" * 14, "1" * 20 + "0" * 20, "better than x by 15.0 points (p = 0.031)"),
        ("1" * 20 + "0" * 20, "1" * 26 + "0" * 14, "worse than x by 15.0 points (p = 0.031)"),
        (
            "1" * 6 + "0" * 4 + "1" * 30,
            "0" * 6 + "1" * 34,
            "not distinguishable from x at n=40 (+5.0 points, p = 0.75; about",
        ),
    ],
)
def test_the_verdict_is_plain(own: str, other: str, said: str) -> None:
    (found,) = differences(results(own), {"x": results(other)}, {"x": 0.02})
    assert said in found.verdict


def test_several_comparisons_are_held_to_more() -> None:
    # 6 of 6 is enough for one comparison, and not for two.
    own, other = results("1" * 26 + "0" * 14), results("1" * 20 + "0" * 20)
    found = differences(own, {"x": other, "y": other}, {})
    assert [one.p for one in found] == [0.03125, 0.03125]
    assert [one.distinguishable for one in found] == [False, False]


def test_a_further_point_has_a_price_where_there_is_a_gain() -> None:
    own, other = results("1" * 30 + "0" * 10), results("1" * 20 + "0" * 20)
    assert differences(own, {"x": other}, {"x": 0.05})[0].usd_per_point == pytest.approx(0.05 / 25)
    assert differences(other, {"x": own}, {"x": 0.05})[0].usd_per_point is None
    assert differences(own, {"x": other}, {"x": None})[0].usd_per_point is None


def test_repeats_of_a_question_count_as_one_question() -> None:
    twice = {(question, repeat): result for (question, _), result in results("10").items() for repeat in (0, 1)}
    twice[("0", 1)] = Result(0.0, "0", 0.01, 1.0)
    found = row("it", "subject", twice)
    assert (found.questions, found.right) == (2, 0.5)
    assert found.noise_floor is not None
    assert found.noise_floor > 0


def test_the_report_can_be_read_as_markdown_and_as_a_page() -> None:
    subject = scored(answers(), QUESTIONS, Scoring())
    members = members_scored(answers(), QUESTIONS, Scoring())
    rows = [row("it <b>", "subject", subject), *(row(name, "member", found) for name, found in members.items())]
    report = Report(
        subject="it <b>",
        model="composite/moa/x",
        questions=7,
        repeat=1,
        complete=True,
        rows=rows,
        differences=differences(subject, members, {"a": 0.03}),
        members=members_worth(subject, members, answers(), costs={}),
        cost_usd=0.28,
        spent_usd=0.28,
        failures={"QuorumNotMet (503)": 1},
    )
    assert Report.model_validate_json(report.model_dump_json()) == report
    text = markdown(report)
    assert "| it <b> | 3 of 6 | 50.0 % | 18.8 to 81.2 | $0.0400 | 2.0 | 0 | 1 |" in text
    assert "the final answer lost 2 of these, 1 against a right majority." in text
    assert "QuorumNotMet (503) 1" in text
    made = page(report)
    assert "it &lt;b&gt;" in made
    assert "it <b>" not in made
    assert made.count("<circle") == len(rows)
