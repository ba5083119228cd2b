"""Questions from files, and those that ship."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from composite_llm.evaluate.generated import generated_questions
from composite_llm.evaluate.questions import Question, load_questions, messages_of
from composite_llm.model.errors import InvalidConfig

_JSONL = '{"question": "2 + 2?", "answer": 4}\n\n{"question": "Where?", "choices": ["Paris", "Rome"], "answer": "B"}\n'
_CSV = 'question,answer,choices\n2 + 2?,4,\nWhere?,B,"Paris | Rome"\n'
_YAML = "questions:\n- question: 2 + 2?\n  answer: 4\n- question: Where?\n  choices: [Paris, Rome]\n  answer: B\n"


@pytest.mark.parametrize(
    ("name", "text"), [("q.jsonl", _JSONL), ("q.csv", _CSV), ("q.yaml", _YAML), ("q.tsv", _CSV.replace(",", "\t"))]
)
def test_the_same_questions_can_be_written_in_each_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    first, second = load_questions(tmp_path / name)
    assert (first.id, first.question, str(first.answer)) == ("1", "2 + 2?", "4")
    assert (second.id, second.choices, second.answer) == ("2", ("Paris", "Rome"), "B")


def test_schemas_and_files_come_along(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("the note", encoding="utf-8")
    entry = {"id": "a", "question": "What?", "schema": {"type": "object"}, "files": ["note.txt"], "system": "Be brief."}
    (tmp_path / "q.jsonl").write_text(json.dumps(entry), encoding="utf-8")
    (question,) = load_questions(tmp_path / "q.jsonl")
    assert question.answer_schema == {"type": "object"}
    system, user = messages_of(question, "Reply with JSON.")
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["text"] for part in user["content"]] == ["note.txt:\nthe note", "What?\n\nReply with JSON."]


def test_choices_are_shown_with_letters() -> None:
    question = Question(question="Where?", choices=("Paris", "Rome"), answer="Rome")
    (message,) = messages_of(question, "Answer: <letter>")
    assert message["content"] == "Where?\n\nA) Paris\nB) Rome\n\nAnswer: <letter>"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.jsonl", '{"question": "?", "anwser": 4}', "line 1: 'anwser' is unknown; did you mean 'answer'"),
        ("q.jsonl", '{"question": "?"}\n{"question"', "line 2: is no JSON"),
        ("q.jsonl", "[1]", "line 1: is no question"),
        ("q.jsonl", '{"answer": 4}', "line 1: question: Field required"),
        ("q.jsonl", '{"question": "?", "choices": ["a", "b"], "answer": "c"}', "is none of the choices"),
        ("q.jsonl", '{"question": "?", "id": "x"}\n{"question": "!", "id": "x"}', "the id 'x' stands there twice"),
        ("q.jsonl", "", "holds no question"),
        ("q.csv", "question,answer\na,b,c\n", "line 2: has more cells"),
        ("q.yaml", "a: b\n", "holds no list of questions"),
        ("q.yaml", "- [", "is no YAML"),
        ("q.txt", "what?", "the kind of the file is unknown"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfig, match=re.escape(said)):
        load_questions(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="No such file"):
        load_questions(tmp_path / "absent.jsonl")


def test_forty_ship_and_they_are_the_same_again_each_time() -> None:
    questions = generated_questions()
    assert len({question.question for question in questions}) == 40
    assert questions == generated_questions(300)[:40]
    assert questions != generated_questions(seed=1)


_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _worked_out(question: Question) -> object:
    """The answer by another way than the one it was made with, from the words alone."""
    text, numbers = question.question, [int(found) for found in re.findall(r"\d+", question.question)]
    match question.category:
        case "arithmetic":
            return eval(re.sub(r"[^\d*+-]", "", text))
        case "shopping":
            pens, price, group, shipping = numbers[0], numbers[1], numbers[2], numbers[3]
            return sum(price for pen in range(1, pens + 1) if pen % group) + shipping
        case "remainder":
            return pow(*numbers)
        case "date":
            start = datetime.datetime.strptime(text.split(", ")[1].split(".")[0], "%d %B %Y")
            return _DAYS[(start.toordinal() + numbers[-1] - 1) % 7]
        case "letters":
            letter, words = re.findall(r"'([^']+)'", text)
            return sum(one == letter for one in words)
        case "order":
            above = dict(re.findall(r"(\w+) is taller than (\w+)", text))
            (top,) = set(above) - set(above.values())
            line = [top]
            while line[-1] in above:
                line.append(above[line[-1]])
            return line[
                ["tallest", "second tallest", "third tallest", "second shortest"].index(text.split("the ")[-1][:-1])
            ]
        case "truth":
            true = {name for name in "PQRS" if f"{name} is true" in text}
            forms = {
                r"if (\w) then (\w)": lambda x, y: x <= y,
                r"(\w) and not (\w)": lambda x, y: x > y,
                r"(\w) or (\w), or both": lambda x, y: x + y > 0,
                r"(\w) if and only if (\w)": lambda x, y: x == y,
            }
            found = [(rule, match) for form, rule in forms.items() for match in re.findall(f": {form}\\.", text)]
            assert len(found) == 3
            return sum(rule(x in true, y in true) for rule, (x, y) in found)
        case "sequence":
            first, second, third = numbers_of(text)[:3]
            factor = next(factor for factor in (2, 3) if third - factor * second == second - factor * first)
            return numbers_of(text)[-1] * factor + second - factor * first
        case _:
            raise AssertionError(question.category)


def numbers_of(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"-?\d+", text)]


def test_their_answers_are_right() -> None:
    for question in generated_questions(160):
        assert _worked_out(question) == question.answer, question.question
