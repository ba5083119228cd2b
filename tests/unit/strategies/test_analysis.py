"""Reading what an analyst writes: nothing that a model can write breaks a run."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from composite_llm.engine.output_checks import format_problem
from composite_llm.model.summary import analysis_text
from composite_llm.model.trace import Analysis
from composite_llm.strategies.analysis import read_analysis, translated
from composite_llm.strategies.prompts import analysis_format

NAMES = {"Response A": "first", "Response B": "second"}
FIELDS = ("consensus", "contradictions", "partial_coverage", "unique_insights", "blind_spots")
TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=12)
LABEL = st.one_of(TEXT, st.sampled_from(["A", "b", "Response A", "2", "Response Z", "9"]))
FORM = st.fixed_dictionaries(
    {
        "consensus": st.lists(TEXT),
        "contradictions": st.lists(
            st.fixed_dictionaries(
                {"topic": TEXT, "stances": st.lists(st.fixed_dictionaries({"label": LABEL, "stance": TEXT}))}
            )
        ),
        "partial_coverage": st.lists(st.fixed_dictionaries({"labels": st.lists(LABEL), "point": TEXT})),
        "unique_insights": st.lists(st.fixed_dictionaries({"label": LABEL, "insight": TEXT})),
        "blind_spots": st.lists(TEXT),
    }
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "label", "x"]), inner),
    max_leaves=12,
)


@given(FORM)
def test_every_analysis_of_the_form_is_read_and_can_be_stored(found: dict[str, Any]) -> None:
    read = read_analysis(json.dumps(found))
    assert read == json.loads(json.dumps(found))
    analysis = translated(found, NAMES, lambda text: text)
    assert Analysis.model_validate_json(analysis.model_dump_json()) == analysis
    analysis_text(analysis).encode()
    labels = {stance.label for one in analysis.contradictions for stance in one.stances}
    labels |= {label for one in analysis.partial_coverage for label in one.labels}
    labels |= {one.label for one in analysis.unique_insights}
    assert labels <= {"first", "second"}


@given(st.one_of(st.text(), ANYTHING.map(json.dumps)))
def test_whatever_else_is_written_is_a_problem_in_words_and_no_error(text: str) -> None:
    read = read_analysis(text)
    assert isinstance(read, str) or format_problem(json.dumps(read), analysis_format()) is None


def test_deep_nesting_is_a_problem_and_no_error() -> None:
    assert isinstance(read_analysis("[" * 100_000), str)


def test_each_kind_has_its_heading_and_nothing_is_blank() -> None:
    assert analysis_text(Analysis()) == ""
    assert analysis_text(Analysis(consensus=["a", "b"], blind_spots=["c"])) == (
        "The answers agree\n- a\n- b\nNo answer deals with\n- c"
    )
