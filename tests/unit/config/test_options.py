from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from composite_llm.config.options import Options
from composite_llm.config.registry import ALL_OPTIONS, STRATEGIES
from composite_llm.strategies.council import CouncilOptions
from composite_llm.strategies.moa import MoaOptions

SHARED_DEFAULTS = {
    "seed": None,
    "reference_placement": "trailing",
    "quorum": 1,
    "straggler_grace_s": None,
    "stage_timeout_s": None,
    "max_cost_usd": None,
    "max_cost_usd_per_day": None,
    "max_cost_usd_per_month": None,
    "max_calls": None,
    "max_parallel": None,
    "stream_members": False,
    "fanout": "user_turn",
    "tool_executor": None,
    "max_tool_rounds": 8,
    "on_final_failure": "error",
    "allow_unpriced": False,
    "validate_output": True,
    "reasoning": "summary",
    "aggregation": "synthesize",
    "analysis": False,
    "share_reasoning": False,
    "deliberate": "always",
}
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "moa": {"proposers": None, "samples": 3, "layers": 1, "references": None, "residual": False, "aggregator": None},
    "council": {
        "members": None,
        "reviewers": None,
        "chairman": None,
        "exclude_self": True,
        "ranking": "borda",
        "criteria": None,
    },
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_options_and_their_defaults_are_the_documented_ones(strategy: str) -> None:
    assert dict(STRATEGIES[strategy]()) == {**SHARED_DEFAULTS, **OWN_DEFAULTS[strategy]}


def test_all_options_are_those_of_both_strategies() -> None:
    assert {*SHARED_DEFAULTS, *OWN_DEFAULTS["moa"], *OWN_DEFAULTS["council"]} == ALL_OPTIONS


@pytest.mark.parametrize(
    ("options", "values"),
    [
        pytest.param(MoaOptions, {"layers": 0}, id="no-layer"),
        pytest.param(MoaOptions, {"samples": 0}, id="no-sample"),
        pytest.param(MoaOptions, {"references": 0}, id="no-reference"),
        pytest.param(MoaOptions, {"proposers": []}, id="no-proposer"),
        pytest.param(MoaOptions, {"members": ["a"]}, id="option-of-the-other-strategy"),
        pytest.param(CouncilOptions, {"members": []}, id="no-member"),
        pytest.param(CouncilOptions, {"ranking": "plurality"}, id="unknown-rule"),
        pytest.param(CouncilOptions, {"quorum": 0}, id="no-quorum"),
        pytest.param(CouncilOptions, {"quorum": 1.5}, id="half-a-member"),
        pytest.param(CouncilOptions, {"straggler_grace_s": -1}, id="negative-grace"),
        pytest.param(CouncilOptions, {"stage_timeout_s": 0}, id="no-time"),
        pytest.param(CouncilOptions, {"max_cost_usd": 0}, id="no-money"),
        pytest.param(CouncilOptions, {"max_parallel": 0}, id="nothing-at-once"),
        pytest.param(CouncilOptions, {"max_tool_rounds": -1}, id="negative-rounds"),
        pytest.param(CouncilOptions, {"reasoning": True}, id="no-choice"),
    ],
)
def test_a_value_outside_its_range_is_refused(options: type[Options], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**values)


@pytest.mark.parametrize(
    "values",
    [{"straggler_grace_s": 0}, {"max_tool_rounds": 0}, {"quorum": "2"}, {"layers": "3"}, {"max_cost_usd": "0.5"}],
    ids=str,
)
def test_zero_where_it_means_something_and_numbers_as_text_are_taken(values: dict[str, Any]) -> None:
    options = MoaOptions(**values)
    ((key, value),) = values.items()
    assert getattr(options, key) == float(value)


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        MoaOptions().quorum = 2
