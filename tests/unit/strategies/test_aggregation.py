from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.strategies.aggregation import chosen, meaning
from composite_llm.strategies.deliberation import Deliberation, StageAnswer, StageResult

JSON = {"type": "json_object"}


def answered(*texts: str) -> Deliberation:
    names = "abcdefgh"
    answers = tuple(StageAnswer(names[place], text) for place, text in enumerate(texts))
    return Deliberation("s", (StageResult("propose", "proposer", answers),), "propose")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "42."),
        ("1,000", "1000.0"),
        ("1e3", "1000"),
        ("Paris", " **paris**. "),
        ("\N{LEFT DOUBLE QUOTATION MARK}Yes\N{RIGHT DOUBLE QUOTATION MARK}", "yes!"),
        ("I add them up.\n\nAnswer: 42", "The answer is 42"),
        ("Final answer: B", "b"),
        ("ﬁne", "fine"),
    ],
)
def test_these_say_the_same(one: str, other: str) -> None:
    assert meaning(one) == meaning(other)


@pytest.mark.parametrize(("one", "other"), [("42", "43"), ("-1", "1"), ("Paris", "Paris, France"), ("1,00", "100")])
def test_these_do_not(one: str, other: str) -> None:
    assert meaning(one) != meaning(other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [true]}', '{"b":[true],"a":1.0}', True),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": "1"}', '{"a": 1}', False),
        ("[1, 2]", "[2, 1]", False),
        ("{}", "[]", False),
    ],
)
def test_json_is_compared_by_value(one: str, other: str, same: bool) -> None:
    assert (meaning(one, as_json=True) == meaning(other, as_json=True)) is same


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_json_means_the_same_however_it_is_written(value: Any) -> None:
    spaced, sorted_ = json.dumps(value, indent=3), json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert meaning(spaced, as_json=True) == meaning(sorted_, as_json=True)


@given(st.text(max_size=300), st.booleans())
def test_whatever_a_model_writes_means_something(text: str, as_json: bool) -> None:
    assert hash(meaning(text, as_json=as_json)) == hash(meaning(text, as_json=as_json))


def test_the_majority_is_taken_as_its_first_member_wrote_it() -> None:
    place, text, record = chosen("vote", answered("41", "42", "It is so.\nAnswer: 42"))
    assert (place, text, record.name) == (1, "42", "b")
    assert [(group.names, group.share) for group in record.groups] == [(["b", "c"], 2 / 3), (["a"], 1 / 3)]


def test_a_tie_goes_by_the_configuration_where_there_is_no_ranking() -> None:
    assert chosen("vote", answered("1", "2", "2", "1"))[0] == 0


def test_answers_of_the_wrong_form_count_only_where_none_is_right() -> None:
    place, text, record = chosen("vote", answered("no", "no", '```json\n{"a": 1}\n```'), JSON)
    assert (place, text, [group.names for group in record.groups]) == (2, '{"a": 1}', [["c"]])
    assert chosen("vote", answered("no", "yes", "no"), JSON)[0] == 0
