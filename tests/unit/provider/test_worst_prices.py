from __future__ import annotations

from typing import Any

import pytest

from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.provider.worst_prices import WorstPrices, worst_prices
from tests.support.scripted_backend import ScriptedFacts

# Powers of ten apart, so that a digit says which calls a price holds, and how often.
FACTS = ScriptedFacts(prices={"chief": 1.0, "a": 10.0, "b": 100.0})


def prices(model: str, **options: Any) -> WorstPrices | None:
    return worst_prices(make_plan(f"composite/{model}", options, Profiles()), FACTS)


def test_in_a_mixture_each_call_reads_the_question_and_the_aggregator_every_answer() -> None:
    # Output: each answer once, and both proposers' answers read by the aggregator.
    assert prices("moa/chief", proposers=["a", "b"]) == WorstPrices(111, 111 + 2)


def test_a_second_layer_asks_and_reads_again() -> None:
    assert prices("moa/chief", proposers=["a", "b"], layers=2) == WorstPrices(221, 221 + 2 * 110 + 2)


def test_in_a_council_reviewers_read_every_answer_and_the_chairman_all_there_is() -> None:
    assert prices("council/chief", members=["a", "a"], reviewers=["b"]) == WorstPrices(121, 121 + 2 * 100 + 3)


def test_without_members_the_implied_ones_count() -> None:
    assert prices("moa/chief", samples=2) == WorstPrices(3, 3 + 2)


def test_a_nested_composite_counts_with_its_own_calls() -> None:
    inside = prices("moa/a", proposers=["b"])
    assert inside == WorstPrices(110, 110 + 10)
    nested = {"model": "composite/moa/a", "proposers": ["b"]}
    assert prices("moa/chief", proposers=[nested]) == WorstPrices(1 + 110, 1 + 120 + 1)


def test_a_nodes_own_limit_makes_its_answers_cheaper() -> None:
    capped, free = (prices("moa/chief", proposers=[{"model": "a", **own}]) for own in ({"max_tokens": 101}, {}))
    assert capped is not None
    assert free is not None
    assert (capped.input, free.input) == (11, 11)
    assert capped.output == pytest.approx(1 + (10 + 1) / 10)
    assert free.output == 1 + 10 + 1


def test_a_persona_is_no_part_of_the_question() -> None:
    assert prices("moa/chief", proposers=[{"model": "a", "system": "Be brief."}]) == WorstPrices(11, 12)


@pytest.mark.parametrize("proposers", [["nobody"], [{"model": "a", "fallbacks": ["nobody"]}], ["composite/moa/nobody"]])
def test_one_unknown_price_makes_both_unknown(proposers: list[Any]) -> None:
    assert prices("moa/chief", proposers=proposers) is None
