from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from composite_llm.engine.json_wrapping import JsonStream, unwrapped, wants_json, wants_object
from composite_llm.engine.output_checks import format_problem

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["answer", "score"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
GOOD = '{"answer":  "Oslo", "score": 3}'
FENCED = '{"answer": "```py\\n1 { \\"x\\n```", "score": 3}'


class Model(BaseModel):
    answer: str


def read(text: str, response_format: Any = FORMAT) -> str:
    return unwrapped(text, lambda found: format_problem(found, response_format) is None)


WRAPPED = {
    "fence": "```json\n{}\n```",
    "fence without a language": "```\n{}\n```",
    "fence without line breaks": "```{}```",
    "fence that never ends": "```json\n{}",
    "tildes": "~~~json\n{}\n~~~",
    "blank lines": "\n\n```json\n\n{}\n\n```\n\n",
    "sentence before": "Here is the JSON you asked for:\n{}",
    "sentence behind": "{}\n\nLet me know if you need anything else!",
    "sentence before and behind a fence": "Sure!\n```json\n{}\n```\nI hope this helps.",
    "language without a fence": "json\n{}",
    "tag": "<json>{}</json>",
    "backticks": "**Answer:** `{}`",
    "braces in the sentence": "In the form {{answer, score}}: {}",
    "reference in the sentence": "According to [1]: {}",
    "other language": "Voici le résultat : {}",
    "Chinese": "结果如下：{}",
    "said twice": "{0}\n{0}",
}


@pytest.mark.parametrize("good", [GOOD, FENCED], ids=["plain", "with a fence in a string"])
@pytest.mark.parametrize("form", WRAPPED.values(), ids=WRAPPED.keys())
def test_json_is_taken_out_of_its_wrapping_to_the_byte(form: str, good: str) -> None:
    assert read(form.format(good)) == good


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="JSON"),
        pytest.param(f" {GOOD}\n", id="JSON with white space"),
        pytest.param(FENCED, id="JSON with a fence in it"),
        pytest.param('"```json\\n{}\\n```"', id="a string"),
        pytest.param("[1, 2]", id="JSON of another type"),
        pytest.param("No JSON at all.", id="prose"),
        pytest.param("", id="blank"),
        pytest.param('```json\n{"answer": "Os', id="cut off"),
        pytest.param(f'{GOOD} or {{"answer": "Rome", "score": 1}}', id="two answers"),
        pytest.param(f"It is in the north. It is cold there. {GOOD}", id="more than a sentence"),
        pytest.param(f"{GOOD}\n\nIt is in the north. It is cold there.", id="more than a sentence behind"),
        pytest.param(f"{'a ' * 150}{GOOD}", id="a long text"),
        pytest.param(f"I cannot say. It would look like {GOOD}", id="a form"),
        pytest.param(f"An example: {GOOD}", id="an example"),
        pytest.param(f"I can't answer that: {GOOD}", id="a refusal"),
        pytest.param("See [1] for more.", id="a reference"),
        pytest.param("{" * 5000, id="braces"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_json_or_wraps_none_for_certain_stays_as_it_is(text: str) -> None:
    assert read(text) is text


def test_wrapped_json_that_breaks_the_schema_is_unwrapped_too_so_that_the_reason_is_the_schemas() -> None:
    assert read('```json\n{"answer": "Oslo"}\n```') == '{"answer": "Oslo"}'


def test_of_several_values_the_one_that_satisfies_counts() -> None:
    assert read(f'{{"city": 1}}: {GOOD}') == GOOD


def test_a_value_alone_in_a_fence_may_be_of_any_type() -> None:
    assert (
        read('```json\n"Oslo"\n```', {"type": "json_schema", "json_schema": {"schema": {"type": "string"}}}) == '"Oslo"'
    )


@pytest.mark.parametrize(
    ("response_format", "wanted", "an_object"),
    [
        pytest.param({"type": "json_object"}, True, True, id="object"),
        pytest.param(FORMAT, True, True, id="schema"),
        pytest.param({"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}, True, False, id="array"),
        pytest.param({"type": "json_schema"}, True, False, id="no schema"),
        pytest.param(Model, True, True, id="model"),
        pytest.param({"type": "text"}, False, False, id="text"),
        pytest.param(None, False, False, id="none"),
        pytest.param("json", False, False, id="nonsense"),
        pytest.param(int, False, False, id="another class"),
    ],
)
def test_which_formats_are_json(response_format: Any, wanted: bool, an_object: bool) -> None:
    assert wants_json(response_format) is wanted
    if wanted:
        assert wants_object(response_format) is an_object


def passed(pieces: list[str], starts: str = "{") -> tuple[list[str], JsonStream]:
    stream = JsonStream(starts)
    return [stream.feed(piece) for piece in pieces], stream


def test_json_is_passed_on_as_it_comes_and_what_follows_is_kept_back() -> None:
    pieces = [" ", "{", '"a": "}\\', '"{"', "}", "\n", "Bye."]
    found, stream = passed(pieces)
    assert found == ["", " {", '"a": "}\\', '"{"', "}", "", ""]
    assert stream.rest(' {"a": "}\\"{"}') == ""
    assert stream.rest("".join(pieces)) == "\nBye."


@pytest.mark.parametrize("text", ["```json\n{}\n```", "Here: {}", "", "[1]", '"a"'])
def test_of_anything_else_nothing_is_passed_on_before_its_end(text: str) -> None:
    found, stream = passed(list(text))
    assert "".join(found) == ""
    assert stream.rest("{}") == "{}"


def test_an_array_is_passed_on_where_one_may_be_wanted() -> None:
    assert passed(["[1", ", [2]]", " x"], "{[")[0] == ["[1", ", [2]]", ""]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\{}[]\n`', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"{\\', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=8))})
    return [text[a:b] for a, b in pairwise(places)]


@given(
    st.data(), st.dictionaries(st.text('k"{\\', max_size=3), VALUES, max_size=3), st.sampled_from(["", "\n", " Bye."])
)
def test_whatever_the_pieces_exactly_the_json_is_passed_on(data: Any, value: dict[str, Any], behind: str) -> None:
    source = json.dumps(value)
    found, stream = passed(data.draw(_cut(source + behind)))
    assert "".join(found) == source
    assert stream.rest(source + behind) == behind


@given(VALUES, st.sampled_from([form for form in WRAPPED.values() if "{0}" not in form]))
def test_wrapping_up_and_unwrapping_gives_the_same(value: Any, form: str) -> None:
    source = json.dumps(value)
    assume(isinstance(value, dict))
    assert unwrapped(form.format(source), lambda text: text == source) == source


@given(st.text('{}[]"`\\ \nabc.:1', max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = read(text)
    assert found is text or found in text
    pieces, stream = passed(list(text))
    assert "".join(pieces) + stream.rest(text) == text
