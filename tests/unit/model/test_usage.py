from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from composite_llm.model.usage import NO_USAGE, Usage, total_cost, total_usage

USAGES = st.builds(
    Usage,
    prompt_tokens=st.integers(0, 9),
    completion_tokens=st.integers(0, 9),
    total_tokens=st.integers(0, 9),
    cached_tokens=st.integers(0, 9),
    cache_creation_tokens=st.integers(0, 9),
    reasoning_tokens=st.integers(0, 9),
    audio_input_tokens=st.integers(0, 9),
    audio_output_tokens=st.integers(0, 9),
)


@given(st.lists(USAGES | st.just(NO_USAGE)))
def test_usages_add_up_field_by_field(usages: list[Usage]) -> None:
    total = total_usage(usages)
    for name in Usage.model_fields:
        assert getattr(total, name) == sum(getattr(usage, name) for usage in usages)


@given(USAGES)
def test_nothing_added_changes_nothing(usage: Usage) -> None:
    assert usage + NO_USAGE == NO_USAGE + usage == usage


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        pytest.param([], 0.0, id="none-made"),
        pytest.param([0.0, 0.5], 0.5, id="known"),
        pytest.param([0.5, None], None, id="unknown-last"),
        pytest.param([None, 0.5], None, id="unknown-first"),
        pytest.param([0.1] * 10, 1.0, id="no-rounding-error"),
    ],
)
def test_an_unknown_price_makes_the_total_unknown(costs: list[float | None], total: float | None) -> None:
    assert total_cost(costs) == total


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        Usage(tokens=1)  # type: ignore[call-arg]
