from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from composite_llm.backend.interface import Reply
from composite_llm.config.node import Node
from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.budget import Budget
from composite_llm.engine.cost_bounds import (
    NOTE_TOKENS,
    QUOTE_TOKENS,
    UNKNOWN_OUTPUT_TOKENS,
    Caps,
    WorstCase,
    longest_answer,
    total_worst_case,
    worst_call,
)
from composite_llm.engine.final import final_call
from composite_llm.engine.subcall import ask
from composite_llm.model.errors import BudgetExceeded, InvalidOption
from composite_llm.run.explanation import explain_plan
from tests.support.benches import QUESTION, Bench, bench, collected, desk, subcall
from tests.support.scripted_backend import COST, Hang, Say, ScriptedFacts, Step, asking_for, failing

DOLLAR_PER_TOKEN = dict.fromkeys("abcdrz", 1.0)
FACTS = ScriptedFacts(prices=DOLLAR_PER_TOKEN)
WORDS = ScriptedFacts().count_tokens("a", QUESTION)
BALLOT = '{"ranking": ["Response A", "Response B"]}'


def node(**settings: Any) -> Node:
    return Node.model_validate({"model": "a", **settings})


@pytest.mark.parametrize(
    ("settings", "request_limit", "tokens"),
    [
        ({}, None, UNKNOWN_OUTPUT_TOKENS),
        ({}, 50, 50),
        ({"max_tokens": 20}, 50, 20),
        ({"max_completion_tokens": 20}, None, 20),
        ({"max_tokens": 10**9}, None, UNKNOWN_OUTPUT_TOKENS),
    ],
    ids=["guess", "request", "own", "own-by-its-newer-name", "more-than-the-model-can"],
)
def test_the_longest_answer_is_the_tightest_limit(settings: Any, request_limit: int | None, tokens: int) -> None:
    assert longest_answer(FACTS, node(**settings), {"max_tokens": request_limit}) == tokens


def test_each_choice_of_an_answer_may_be_as_long() -> None:
    assert longest_answer(FACTS, node(max_tokens=20), {"n": 3}) == 60


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ({"extra_body": {"n": 3}}, 60),
        ({"n": 2, "best_of": 5}, 200),
        ({"n": 1, "extra_body": {"n": 4}}, 80),
        ({"extra_body": {"max_tokens": 500}}, 500),
        ({"extra_body": {"max_completion_tokens": 500, "n": 2}}, 1000),
        ({"extra_body": {"max_tokens": -1}}, UNKNOWN_OUTPUT_TOKENS),
        ({"prediction": {"type": "content", "content": "x" * 66}}, 120),
    ],
    ids=["n-inside", "both", "n-twice", "limit-inside", "newer-limit-inside", "no-limit-inside", "prediction"],
)
def test_what_multiplies_an_answer_counts_wherever_it_stands(params: dict[str, Any], tokens: int) -> None:
    assert longest_answer(FACTS, node(max_tokens=20), params) == tokens


def test_an_answer_is_no_longer_than_the_window_that_the_node_states() -> None:
    assert longest_answer(FACTS, node(context_window=300)) == 300


def test_a_worst_call_is_its_prompt_and_its_longest_answer() -> None:
    assert worst_call(FACTS, node(max_tokens=5), 10) == WorstCase(1, 15.0, 10, 5)


def test_a_persona_is_part_of_the_prompt() -> None:
    assert worst_call(FACTS, node(max_tokens=5, system="four words of persona"), 10) == WorstCase(1, 19.0, 14, 5)


def test_a_prompt_is_no_longer_than_the_models_window_since_it_would_be_cut() -> None:
    facts = ScriptedFacts(prices=DOLLAR_PER_TOKEN, windows={"a": 100})
    assert worst_call(facts, node(max_tokens=5), 9_000) == WorstCase(1, 105.0, 100, 5)


def test_tools_and_the_output_format_are_part_of_the_prompt() -> None:
    tools = [{"type": "function", "function": {"name": "look", "description": "word " * 50}}]
    bare, dressed = (worst_call(FACTS, node(max_tokens=5), 10, params) for params in ({}, {"tools": tools}))
    assert dressed.prompt_tokens >= bare.prompt_tokens + 50


def test_what_has_no_price_leaves_the_rest_of_the_sum_as_it_is() -> None:
    parts = [worst_call(FACTS, node(max_tokens=5), 10), worst_call(FACTS, node(model="unpriced"), 10)]
    assert total_worst_case(parts).cost_usd == 15.0


@pytest.mark.parametrize(
    ("caps", "worst", "allowed"),
    [
        (Caps(), WorstCase(99, 99.0), True),
        (Caps(calls=2), WorstCase(2, 99.0), True),
        (Caps(calls=2), WorstCase(3, 0.0), False),
        (Caps(cost_usd=1.0), WorstCase(9, 1.0), True),
        (Caps(cost_usd=1.0), WorstCase(1, 1.01), False),
        (Caps(calls=1, cost_usd=1.0), WorstCase(1, 2.0), False),
    ],
    ids=str,
)
def test_caps_allow_what_stays_within_all_of_them(caps: Caps, worst: WorstCase, allowed: bool) -> None:
    assert caps.allow(worst) is allowed


# --- how a run is made smaller -------------------------------------------------------------------------------------

ANSWER_TOKENS = 10
NODES = [{"model": model, "max_tokens": ANSWER_TOKENS} for model in "abc"]


def moa(**options: Any) -> Bench:
    script = {model: Say(model.upper(), cost_usd=1.0) for model in "abcz"}
    options = {"proposers": NODES, "aggregator": {"max_tokens": ANSWER_TOKENS}, **options}
    return bench("composite/moa/z", script, facts=FACTS, **options)


def council(**options: Any) -> Bench:
    script = {model: Say(BALLOT, cost_usd=1.0) for model in "abcdrz"}
    options = {"members": NODES, "chairman": {"max_tokens": ANSWER_TOKENS}, **options}
    return bench("composite/council/z", script, facts=FACTS, **options)


def asked(at: Bench) -> str:
    return "".join(request.model for request in at.backend.requests)


@pytest.mark.parametrize(
    ("max_calls", "models", "told"),
    [
        (4, "abcz", []),
        (3, "abz", ["2 of 3 members asked"]),
        (2, "az", ["1 of 3 members asked"]),
        (1, "z", ["the final model answers alone"]),
    ],
)
async def test_moa_asks_as_many_proposers_as_its_calls_allow(max_calls: int, models: str, told: list[str]) -> None:
    at = moa(max_calls=max_calls)
    assert await at.text() == "Z"
    assert asked(at) == models
    assert [reason.split(": ")[0] for reason in at.trace.degraded] == ["budget_reduced"] * len(told)
    assert all(text in reason for text, reason in zip(told, at.trace.degraded, strict=True))


@pytest.mark.parametrize(
    ("max_calls", "models", "told"),
    [
        (7, "abcabcz", []),
        (6, "ababz", ["2 of 3 members asked"]),
        (5, "ababz", ["2 of 3 members asked"]),
        (2, "az", ["1 of 3 members asked"]),
        (1, "z", ["the final model answers alone"]),
    ],
)
async def test_a_council_gives_up_members_before_all_else(max_calls: int, models: str, told: list[str]) -> None:
    at = council(max_calls=max_calls)
    assert await at.text()
    assert asked(at) == models
    reduced = [reason for reason in at.trace.degraded if reason.startswith("budget_reduced")]
    assert all(text in reason for text, reason in zip(told, reduced, strict=True))


@pytest.mark.parametrize("max_calls", [4, 5, 6])
async def test_a_council_that_needs_its_members_gives_up_the_reviews(max_calls: int) -> None:
    at = council(max_calls=max_calls, quorum=3)
    assert await at.text()
    assert asked(at) == "abcz"
    assert at.trace.degraded == ["budget_reduced: no reviews, to stay under the run's caps"]


async def test_a_quorum_that_no_longer_fits_leaves_the_final_model_alone() -> None:
    at = moa(max_calls=3, quorum=3)
    assert await at.text() == "Z"
    assert asked(at) == "z"


def worst_of(proposers: int) -> float:
    """One dollar a token: what so many proposers and the aggregator may cost."""
    question = WORDS + NOTE_TOKENS
    quoted = proposers * (ANSWER_TOKENS + QUOTE_TOKENS)
    return proposers * (question + ANSWER_TOKENS) + question + quoted + ANSWER_TOKENS


@pytest.mark.parametrize("fits", [3, 2, 1])
async def test_money_makes_a_run_smaller_by_its_worst_case(fits: int) -> None:
    at = moa(max_cost_usd=worst_of(fits))
    assert await at.text() == "Z"
    assert asked(at) == "abc"[:fits] + "z"
    at = moa(max_cost_usd=worst_of(fits) - 0.5)
    assert await at.text() == "Z"
    assert asked(at) == "abc"[: fits - 1] + "z"


async def test_when_not_even_the_final_call_fits_it_is_refused_before_any_call() -> None:
    at = moa(max_cost_usd=WORDS + ANSWER_TOKENS - 1)
    with pytest.raises(BudgetExceeded, match="max_cost_usd") as raised:
        await at.text()
    assert asked(at) == ""
    assert raised.value.status_code == 402
    assert raised.value.used == 0


async def test_what_was_really_spent_counts_and_not_what_was_feared() -> None:
    # Each proposer turns out to cost all the money there is.
    script = {"a": Say("A", cost_usd=10_000.0), "b": Say("B", after=1, cost_usd=1.0), "z": Say("Z")}
    proposers = [{"model": "a", "max_tokens": 1}, {"model": "b", "max_tokens": 1}]
    at = bench("composite/moa/z", script, facts=FACTS, proposers=proposers, max_cost_usd=9_000.0)
    with pytest.raises(BudgetExceeded, match="max_cost_usd of 9000 is reached: used 10001"):
        await at.text()
    assert asked(at) == "ab"


async def test_a_budget_that_is_spent_ends_retries_too() -> None:
    script = {"a": failing("malformed", cost_usd=5_000.0), "b": Say("B", cost_usd=1.0), "z": Say("Z")}
    at = bench(
        "composite/moa/z",
        script,
        facts=FACTS,
        proposers=[{"model": "a", "max_tokens": 1, "num_retries": 5}, {"model": "b", "max_tokens": 1}],
        aggregator={"max_tokens": 1},
        max_cost_usd=4_000.0,
        on_final_failure="best",
    )
    assert await at.text() == "B"
    assert asked(at) == "ab"
    assert [reason.partition(": ")[0] for reason in at.trace.degraded] == [
        "budget_reached",
        "member_missing",
        "budget_reached",
        "final_failed",
    ]
    assert at.trace.degraded[0].startswith("budget_reached: a: max_cost_usd of 4000 is reached: used 5")


@pytest.mark.parametrize(
    "nodes",
    [
        ["unpriced"],
        [{"model": "a", "fallbacks": ["unpriced"]}],
        [{"model": "composite/moa/a", "proposers": ["unpriced"]}],
        [{"model": "a", "fallbacks": [{"model": "composite/moa/unpriced"}]}],
        [{"model": "composite/moa/a", "proposers": [{"model": "composite/council/a", "members": ["unpriced", "b"]}]}],
    ],
    ids=["own", "fallback", "nested", "nested fallback", "twice nested"],
)
async def test_a_model_without_a_price_is_refused_under_a_money_cap(nodes: list[Any]) -> None:
    options: dict[str, Any] = {"facts": FACTS, "proposers": nodes, "max_cost_usd": 1e6}
    script = {model: Say() for model in ("unpriced", "a", "b", "z")}
    with pytest.raises(InvalidOption, match="the price of unpriced is unknown"):
        await bench("composite/moa/z", script, **options).text()
    at = bench("composite/moa/z", script, allow_unpriced=True, **options)
    assert await at.text() == "fine"


async def test_a_profiles_models_are_looked_at_where_it_is_a_node() -> None:
    profiles = {"profiles": {"inner": {"strategy": "moa", "model": "a", "proposers": ["unpriced"]}}}
    with pytest.raises(InvalidOption, match="the price of unpriced is unknown"):
        bench(
            "composite/moa/z", {}, facts=FACTS, profiles=profiles, proposers=["composite/profile/inner"], max_cost_usd=1
        )


NESTED = {"model": "composite/moa/c", "proposers": ["a", "b"], "name": "inner"}


@pytest.mark.parametrize(("max_calls", "models"), [(5, "dabcz"), (4, "dz"), (2, "dz"), (1, "z")])
async def test_a_nested_run_counts_with_all_its_calls_so_that_the_final_call_keeps_its_own(
    max_calls: int, models: str
) -> None:
    at = bench(
        "composite/moa/z", {model: Say(model) for model in "abcdz"}, proposers=["d", NESTED], max_calls=max_calls
    )
    assert await at.text() == "z"
    assert asked(at) == models


async def test_nested_runs_make_themselves_smaller_when_the_caps_of_the_run_around_them_leave_no_more() -> None:
    # The fallback was not counted on: no call was expected to fail.
    at = bench(
        "composite/moa/z",
        {"d": failing("rejected"), **{model: Say(model) for model in "abcz"}},
        proposers=[{"model": "d", "fallbacks": [NESTED]}],
        max_calls=3,
        on_final_failure="best",
    )
    assert await at.text() == "c"
    assert asked(at) == "dac"
    assert "budget_reduced: 1 of 2 members asked, to stay under the run's caps" in at.trace.degraded


async def test_a_nested_runs_own_cap_bounds_what_it_is_counted_with() -> None:
    script = {model: Say(model) for model in "abcdz"}
    at = bench("composite/moa/z", script, proposers=["d", {**NESTED, "max_calls": 1}], max_calls=3)
    assert await at.text() == "z"
    assert sorted(asked(at)) == ["c", "d", "z"]


# --- what is looked at once more before an attempt -----------------------------------------------------------------


async def test_a_fallback_that_may_cost_more_than_is_left_is_not_asked() -> None:
    facts = ScriptedFacts(prices={"a": 1.0, "dear": 1000.0, "b": 1.0, "z": 1.0})
    few = {"max_tokens": ANSWER_TOKENS}
    at = bench(
        "composite/moa/z",
        {"a": failing("rejected"), "b": Say("B"), "dear": Say("never"), "z": Say("Z")},
        facts=facts,
        proposers=[{"model": "a", **few, "fallbacks": [{"model": "dear", **few}]}, {"model": "b", **few}],
        aggregator=few,
        max_cost_usd=worst_of(2),
    )
    assert await at.text() == "Z"
    assert asked(at) == "abz"
    assert any("the next call may cost" in reason for reason in at.trace.degraded)


async def test_fallbacks_that_leave_at_once_do_not_go_over_the_cap_together() -> None:
    facts = ScriptedFacts(prices={"a": 1.0, "dear": 10.0, "z": 1.0})
    few = {"max_tokens": ANSWER_TOKENS}
    members = [{"model": "a", **few, "name": str(n), "fallbacks": [{"model": "dear", **few}]} for n in range(3)]
    cap = 2_500.0
    at = bench(
        "composite/moa/z",
        {"a": Say("", cost_usd=1.0), "dear": Say("D", after=1, cost_usd=2_000.0), "z": Say("Z", cost_usd=1.0)},
        messages=[{"role": "user", "content": "word " * 200}],
        facts=facts,
        proposers=members,
        aggregator=few,
        max_cost_usd=cap,
    )
    assert await at.text() == "Z"
    # Each of the three would fit alone.
    assert asked(at).count("dear") == 1
    assert at.trace.cost_usd is not None
    assert at.trace.cost_usd <= cap


async def test_an_attempt_that_a_breaker_keeps_back_reserves_nothing() -> None:
    at = desk(
        {"a": failing("unavailable"), "b": Say()}, facts=FACTS, budget=Budget(max_cost_usd=20_000), breakers=Breakers()
    )
    wanted = subcall({"model": "a", "num_retries": 9, "fallbacks": ["b"]})
    call = at.scope.recorder.open_call("propose", "proposer", "a", "a", None)
    assert isinstance(await ask(at.scope, wanted, call), Reply)
    assert call.attempts[-2].error_class == "BreakerOpen"
    assert at.scope.budget.cost_left_usd == 20_000 - COST


@pytest.mark.parametrize("how", ["answer", "failure", "cancel", "deadline"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_however_an_attempt_ends_its_reservation_ends_too(how: str, streamed: bool) -> None:
    steps: dict[str, Step] = {"answer": Say(), "failure": failing("rejected"), "cancel": Hang(), "deadline": Hang()}
    limit = {"timeout_s": 5.0} if how == "deadline" else {}
    at = desk({"a": steps[how]}, facts=FACTS, budget=Budget(max_cost_usd=20_000), **limit)
    wanted = subcall({"model": "a", "num_retries": 0}, final=True)

    async def called() -> None:
        async with asyncio.timeout_at(at.scope.deadline):
            await collected(final_call(at.scope, wanted, streamed=streamed))

    running = asyncio.create_task(called())
    await asyncio.sleep(1)
    if how in ("cancel", "deadline"):
        left = at.scope.budget.cost_left_usd
        assert left is not None
        assert left < 20_000
    if how == "cancel":
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert at.scope.budget.cost_left_usd == 20_000 - (COST if how == "answer" else 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tool_round_that_may_cost_more_than_is_left_is_not_made(stream: bool) -> None:
    first = asking_for(("1", "look", "{}"), cost_usd=worst_of(0) - 100)
    at = bench(
        "composite/moa/z",
        {"z": [first, Say("never")]},
        facts=FACTS,
        proposers=[{"model": "a"}],
        aggregator={"max_tokens": ANSWER_TOKENS},
        tools=[{"type": "function", "function": {"name": "look"}}],
        tool_executor={"look": lambda: "word " * 200},
        max_cost_usd=worst_of(0) + 5,
    )
    with pytest.raises(BudgetExceeded, match=r"leaves too little: used .*, and the next call may cost") as raised:
        await (at.items() if stream else at.text())
    assert asked(at) == "z"
    assert raised.value.status_code == 402


# --- explained before it runs --------------------------------------------------------------------------------------

Shape = tuple[str, dict[str, Any]]
SHAPES: dict[str, Shape] = {
    "moa": ("composite/moa/z", {"proposers": NODES}),
    "moa of three layers": ("composite/moa/z", {"proposers": NODES, "layers": 3}),
    "moa with references": ("composite/moa/z", {"proposers": NODES, "layers": 3, "references": 2}),
    "residual moa": ("composite/moa/z", {"proposers": NODES, "layers": 2, "residual": True, "references": 1}),
    "moa with an analysis": ("composite/moa/z", {"proposers": NODES, "analysis": "r"}),
    "council with an analysis": ("composite/council/z", {"members": NODES, "analysis": True}),
    "self-moa": ("composite/moa/z", {"samples": 4}),
    "council": ("composite/council/z", {"members": NODES}),
    "council with reviewers": ("composite/council/z", {"members": NODES, "reviewers": ["r", "d"]}),
    "nested": (
        "composite/moa/z",
        {"proposers": ["a", {"model": "composite/council/z", "members": ["b", "c"], "name": "inner"}]},
    ),
    "long persona": ("composite/moa/z", {"proposers": [{"model": "a", "max_tokens": 1, "system": "word " * 900}]}),
}


def by_words(model: str) -> Callable[[Any], Say]:
    """Answers with a ballot and costs what its prompt and its answer are worth."""

    def answer(request: Any) -> Say:
        tokens = FACTS.count_tokens(model, request.messages) + len(BALLOT.split())
        return Say(BALLOT, cost_usd=float(tokens))

    return answer


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_was_explained_is_what_happens(shape: str) -> None:
    model, options = SHAPES[shape]
    at = bench(model, {name: by_words(name) for name in "abcdrz"}, facts=FACTS, **options)
    told = explain_plan(make_plan(model, options, Profiles()), QUESTION, FACTS)
    await at.text()
    assert told.calls == len(at.backend.requests)
    assert [stage.stage for stage in told.stages] == list(
        dict.fromkeys(call.stage for call in at.trace.calls if call.parent_id is None)
    )
    assert told.best_cost_usd is not None
    assert told.worst_cost_usd is not None
    assert at.trace.cost_usd is not None
    assert told.best_cost_usd <= at.trace.cost_usd <= told.worst_cost_usd


@pytest.mark.parametrize(
    ("shape", "rounds", "latency"),
    [("moa", 2, "deliberate"), ("council", 3, "deliberate"), ("moa of three layers", 4, "long"), ("nested", 4, "long")],
)
def test_rounds_are_the_calls_that_wait_for_one_another(shape: str, rounds: int, latency: str) -> None:
    model, options = SHAPES[shape]
    told = explain_plan(make_plan(model, options, Profiles()), QUESTION, FACTS)
    assert (told.rounds, told.latency_class) == (rounds, latency)


async def test_layers_that_end_early_cost_no_less_than_the_best_case() -> None:
    options = {"proposers": NODES, "layers": 50, "residual": True}
    at = bench("composite/moa/z", {name: by_words(name) for name in "abcdz"}, facts=FACTS, **options)
    told = explain_plan(make_plan("composite/moa/z", options, Profiles()), QUESTION, FACTS)
    await at.text()
    assert len(at.backend.requests) == 2 * len(NODES) + 1
    assert told.best_cost_usd is not None
    assert at.trace.cost_usd is not None
    assert told.best_cost_usd <= at.trace.cost_usd


def test_references_bound_what_a_further_layer_reads() -> None:
    options = {"proposers": NODES, "layers": 2, "references": 2}
    told = explain_plan(make_plan("composite/moa/z", options, Profiles()), QUESTION, FACTS)
    question, quoted = WORDS + NOTE_TOKENS, ANSWER_TOKENS + QUOTE_TOKENS
    prompts = {stage.stage: {node.worst_prompt_tokens for node in stage.nodes} for stage in told.stages}
    assert prompts == {
        "propose": {question},
        "propose-2": {question + 2 * quoted},
        "aggregate": {question + len(NODES) * quoted},
    }


def test_a_residual_aggregator_may_have_to_read_every_layer() -> None:
    options = {"proposers": NODES, "layers": 3, "residual": True}
    told = explain_plan(make_plan("composite/moa/z", options, Profiles()), QUESTION, FACTS)
    (aggregator,) = told.stages[-1].nodes
    assert aggregator.worst_prompt_tokens == WORDS + NOTE_TOKENS + 3 * len(NODES) * (ANSWER_TOKENS + QUOTE_TOKENS)
    assert (told.calls, told.rounds) == (3 * len(NODES) + 1, 4)


def test_an_unknown_price_makes_the_costs_unknown_and_is_named() -> None:
    told = explain_plan(make_plan("composite/moa/z", {"proposers": ["a", "unpriced"]}, Profiles()), QUESTION, FACTS)
    assert (told.best_cost_usd, told.worst_cost_usd, told.unpriced) == (None, None, ["unpriced"])


def test_the_worst_case_is_told_by_node_in_tokens_and_money() -> None:
    told = explain_plan(make_plan("composite/council/z", {"members": NODES}, Profiles()), QUESTION, FACTS)
    question = WORDS + NOTE_TOKENS
    answers = len(NODES) * (ANSWER_TOKENS + QUOTE_TOKENS)
    parts = {
        stage.stage: {(node.worst_prompt_tokens, node.worst_completion_tokens) for node in stage.nodes}
        for stage in told.stages
    }
    assert parts == {
        "answer": {(question, ANSWER_TOKENS)},
        "review": {(question + answers, ANSWER_TOKENS)},
        "synthesize": {(question + 2 * answers, UNKNOWN_OUTPUT_TOKENS)},
    }
    costs = [node.worst_cost_usd for stage in told.stages for node in stage.nodes]
    assert told.worst_cost_usd == sum(cost for cost in costs if cost is not None)


def test_a_single_member_is_not_reviewed_and_no_review_is_explained() -> None:
    told = explain_plan(make_plan("composite/council/z", {"members": ["a"]}, Profiles()), QUESTION, FACTS)
    assert [stage.stage for stage in told.stages] == ["answer", "synthesize"]
    assert (told.calls, told.rounds) == (2, 2)


MANY_TOOLS = [{"type": "function", "function": {"name": f"tool_{n}", "description": "word " * 30}} for n in range(100)]


@pytest.mark.parametrize("model", ["composite/moa/z", "composite/council/z"])
async def test_the_bound_holds_for_many_members_and_many_tools_that_all_answer_at_length(model: str) -> None:
    words = 50
    nodes = [{"model": name, "max_tokens": words, "name": f"{name}{n}"} for n in range(5) for name in "abc"]
    options: dict[str, Any] = {"proposers" if "moa" in model else "members": nodes, "tools": MANY_TOOLS}

    def at_length(name: str) -> Callable[[Any], Say]:
        def answer(request: Any) -> Say:
            text = " ".join(["word"] * words)
            return Say(text, cost_usd=float(FACTS.count_tokens(name, request.messages) + words))

        return answer

    at = bench(model, {name: at_length(name) for name in "abcz"}, facts=FACTS, **options)
    told = explain_plan(make_plan(model, options, Profiles()), QUESTION, FACTS)
    await at.text()
    by_stage = {stage.stage: [node.worst_cost_usd for node in stage.nodes] for stage in told.stages}
    for stage, bounds in by_stage.items():
        costs = [call.cost_usd for call in at.trace.calls if call.stage == stage]
        assert all(
            cost is not None and bound is not None and cost <= bound for cost, bound in zip(costs, bounds, strict=True)
        )
