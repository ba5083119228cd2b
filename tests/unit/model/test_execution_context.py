from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from composite_llm import ExecutionContext

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=200).filter(
    lambda text: text == text.strip()
)
CONTEXTS = st.builds(
    ExecutionContext,
    user_id=st.none() | TEXT,
    workflow_name=st.none() | TEXT,
    timeout_seconds=st.none() | st.floats(min_value=0.001, max_value=1e9),
    tags=st.lists(TEXT, max_size=32, unique=True).map(tuple),
    metadata=st.dictionaries(TEXT.map("own-".__add__), st.integers() | TEXT),
)


@given(CONTEXTS)
def test_a_context_comes_back_from_the_metadata_that_it_turns_into(context: ExecutionContext) -> None:
    assert ExecutionContext.of_metadata(context.as_metadata()) == context


def test_only_what_is_set_goes_into_the_metadata() -> None:
    context = ExecutionContext(user_id="ada", tags=("a", "b"), metadata={"ticket": 7})
    assert context.as_metadata() == {"ticket": 7, "user_id": "ada", "tags": ["a", "b"]}


@given(
    st.dictionaries(
        st.sampled_from(list(ExecutionContext.model_fields)) | st.text(), st.from_type(type).flatmap(st.from_type)
    )
)
def test_no_metadata_is_so_wrong_that_it_cannot_be_read(metadata: dict[str, Any]) -> None:
    ExecutionContext.of_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"user_id": 17}, ExecutionContext(user_id="17"), id="number"),
        pytest.param({"user_id": {"name": "ada"}}, ExecutionContext(), id="mapping"),
        pytest.param({"user_id": "  "}, ExecutionContext(), id="blank"),
        pytest.param({"user_id": "a" * 300}, ExecutionContext(user_id="a" * 200), id="long"),
        pytest.param({"tags": "urgent"}, ExecutionContext(tags=("urgent",)), id="one tag"),
        pytest.param({"tags": ["a", None, ["b"], "a"]}, ExecutionContext(tags=("a",)), id="odd tags"),
        pytest.param({"timeout_seconds": "2.5"}, ExecutionContext(timeout_seconds=2.5), id="seconds as text"),
        pytest.param({"timeout_seconds": -1}, ExecutionContext(), id="negative seconds"),
        pytest.param({"timeout_seconds": "soon"}, ExecutionContext(), id="no seconds"),
        pytest.param(
            {"metadata": {"x": 1}}, ExecutionContext(metadata={"metadata": {"x": 1}}), id="a key of that name"
        ),
        pytest.param(None, ExecutionContext(), id="none"),
    ],
)
def test_what_a_client_sent_is_read_as_far_as_it_is_of_use(metadata: Any, expected: ExecutionContext) -> None:
    assert ExecutionContext.of_metadata(metadata) == expected


def test_an_own_key_may_not_hide_a_known_one() -> None:
    with pytest.raises(ValidationError, match="'user_id' is a field of ExecutionContext itself"):
        ExecutionContext(metadata={"user_id": "ada"})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="user_name"):
        ExecutionContext(user_name="ada")  # type: ignore[call-arg]
