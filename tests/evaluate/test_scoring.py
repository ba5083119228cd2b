"""How an answer is read out of a text, and when it is right."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.evaluate.questions import Question
from composite_llm.evaluate.scoring import Choice, Json, Numeric, Pattern, Scoring, number_in, stated
from composite_llm.model.errors import InvalidConfig, InvalidOption

PLACES = Question(question="Where?", choices=("Paris", "Rome", "A dog"), answer="Rome")


def asked(answer: Any, **more: Any) -> Question:
    return Question(question="What?", id="q", answer=answer, **more)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: $1,234.00", 1234),
        ("**Answer:** 12 euros", 12),
        ("So 3 + 4 = 7", 7),
        ("Answer: 3 + 4 = 7", 7),
        ("Answer: 42 of 50", 42),
        ("The answer is: -3/4", Fraction(-3, 4)),
        ("First 5.\nAnswer: 6\nNo, I was wrong.\nAnswer: 7", 7),
        (r"hence \boxed{1.5e3}", 1500),
        ("Answer: \u22125", -5),
        ("about 2 \u00d7 10^3 units", 2000),
        ("Answer: 1 234 567", 1234567),
        ("It is 12.", 12),
        ("Answer: .5", Fraction(1, 2)),
    ],
)
def test_a_number_is_read_as_people_and_models_write_it(text: str, value: Fraction | int) -> None:
    found = number_in(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize("text", ["", "none", "Answer: unknown", "v2beta", "1/0"])
def test_no_number_is_none(text: str) -> None:
    assert Numeric().right(text, asked(2)) == 0.0


@pytest.mark.parametrize(
    ("text", "answer", "tolerance", "right"),
    [
        ("Answer: 3.14", 3.14159, None, 0),
        ("Answer: 3.14", 3.14159, 0.01, 1),
        ("Answer: 3.14", 3.14159, "0.1%", 1),
        ("Answer: 3.1", 3.14159, "0.1%", 0),
        ("Answer: 0.3333333333333", "1/3", None, 1),
        ("Answer: 45 %", 0.45, None, 1),
        ("Answer: 45", "45%", None, 1),
        ("Answer: -45", 45, None, 0),
        ("Answer: 7.0", 7, None, 1),
    ],
)
def test_a_number_is_right_within_its_tolerance(text: str, answer: Any, tolerance: Any, right: int) -> None:
    assert Numeric().right(text, asked(answer, tolerance=tolerance)) == right
    assert Numeric(tolerance).right(text, asked(answer)) == right


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("Answer: (b)", "B"),
        ("**Answer: B) Rome**", "B"),
        ("I think it is Rome.", "B"),
        ("Answer: A dog", "C"),
        ("The answer is B.", "B"),
        ("After all of this, option C is right", "C"),
        ("Paris is wrong.\nB", "B"),
        ("Answer: Rome, not Paris", None),
        ("I cannot say.", None),
        ("", None),
    ],
)
def test_a_choice_is_read_by_its_letter_or_its_text(text: str, letter: str | None) -> None:
    assert Choice().read(text, PLACES) == letter


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"b": [1.0, 2], "a": "x"}', 1),
        ('Here:\n```json\n{"a": "x", "b": [1, 2]}\n```\nDone.', 1),
        ('First {"a": 1}, then {"a": "x", "b": [1, 2]}', 1),
        ('{"a": "x", "b": [2, 1]}', 0),
        ('{"a": "x", "b": [true, 2]}', 0),
        ("none", 0),
    ],
)
def test_json_is_compared_by_value(text: str, right: int) -> None:
    assert Json().right(text, asked({"a": "x", "b": [1, 2]})) == right


def test_json_without_an_answer_has_to_fit_its_schema() -> None:
    question = Question.model_validate({"question": "?", "schema": {"type": "object", "required": ["a"]}})
    assert Json().right('{"a": 1}', question) == 1
    assert Json().right('{"b": 1}', question) == 0


def test_a_pattern_has_to_be_found() -> None:
    assert Pattern().right("It was in 1969, I think.", asked(r"\b19(68|69)\b")) == 1
    assert Pattern().right("It was in 1970.", asked(r"\b19(68|69)\b")) == 0


def test_a_pattern_that_backtracks_without_end_is_the_questions_fault() -> None:
    with pytest.raises(InvalidConfig, match="question q: the pattern takes too long"):
        Pattern().right("a" * 60 + "!", asked(r"^(a|a|aa)+$"))


def test_words_are_compared_without_case_marks_and_spaces() -> None:
    score = Scoring().of(asked("Ada Lovelace"))
    for text in ("Answer: **ada  lovelace**.", "She is\n\nAda Lovelace", "Ada Lovelace"):
        assert score.right(text, asked("Ada Lovelace")) == 1
    assert score.right("Answer: Ada", asked("Ada Lovelace")) == 0


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (asked(7), "Numeric"),
        (asked("1,234.5"), "Numeric"),
        (asked("007"), "Exact"),
        (asked("7 dwarfs"), "Exact"),
        (asked(True), "Exact"),
        (asked([1]), "Json"),
        (PLACES, "Choice"),
    ],
)
def test_each_question_has_the_score_of_its_kind(question: Question, kind: str) -> None:
    assert type(Scoring().of(question)).__name__ == kind


def test_a_function_of_a_file_scores(tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text(
        "def even(text, question):\n    return len(text) % 2 == 0\n\ndef bad(text, question):\n    return 'yes'\n"
    )
    question = asked(None)
    assert Scoring(f"{file}:even").of(question).right("ab", question) == 1
    with pytest.raises(InvalidConfig, match="no number from 0 to 1"):
        Scoring(f"{file}:bad").of(question).right("ab", question)
    with pytest.raises(InvalidOption, match="cannot be loaded"):
        Scoring(f"{file}:absent").of(question)


@pytest.mark.parametrize(
    ("kind", "question", "said"),
    [
        ("auto", asked(None), "has no answer"),
        ("numeric", asked("many"), "is not a number"),
        ("choice", asked("B"), "has no choices"),
        ("fuzzy", asked("B"), "allowed"),
    ],
)
def test_what_cannot_be_scored_is_said_before_anybody_is_asked(kind: str, question: Question, said: str) -> None:
    with pytest.raises((InvalidConfig, InvalidOption), match=said):
        Scoring(kind).of(question)


@given(st.text(max_size=200))
def test_no_text_breaks_a_score(text: str) -> None:
    for question in (asked(7), asked("x"), asked([1]), PLACES):
        score = Scoring().of(question)
        assert score.right(text, question) in (0.0, 1.0)
        hash(score.read(text, question))


@given(st.integers(-(10**9), 10**9), st.sampled_from(["Answer: {}", "**Answer:** {:,}", "so it is {}.", "= {}"]))
def test_every_whole_number_is_found_again(value: int, form: str) -> None:
    assert Numeric().right(form.format(value), asked(value)) == 1


def test_the_last_stated_answer_counts() -> None:
    assert stated("Answer: 1\nFinal answer: 2") == "2"
    assert stated("nothing of the kind") is None
