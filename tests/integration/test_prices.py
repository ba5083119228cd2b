"""Whose word counts for what an answer cost: a node's own price, the operator's, LiteLLM's table; never the answer's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm import Trace
from fake_server import ThreadedServer
from tests.support.asking import KEY, MESSAGES
from tests.support.listening import listening

LISTED, OTHER, NOBODYS = "openai/gpt-4o-mini", "openai/gpt-4o", "openai/nobody-knows"
LISTED_PRICES = (1.5e-7, 6e-7)
TEXT = "The oldest bridge is made of stone. " * 5
OWN = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
both = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
# As a member a node is asked plainly in any case, as the final node in the way that was asked for.
places = pytest.mark.parametrize("place", ["member", "final"])


@pytest.fixture(autouse=True)
def table(provider: None) -> Iterator[None]:
    """What a call writes into LiteLLM's table is taken out again."""
    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    yield
    litellm.model_cost.clear()
    litellm.model_cost.update(before)
    litellm.register_model({})  # empties what LiteLLM remembers of its table


async def asked(server: ThreadedServer, node: dict[str, Any], place: str, *, streamed: bool, **options: Any) -> Trace:
    """A run with the node in that place, and another model in the other."""
    direct = {"api_base": server.base_url, "api_key": KEY}
    node, other = {**direct, **node}, {**direct, "model": OTHER}
    member, final = (node, other) if place == "member" else (other, node)
    final_model = final.pop("model")
    call = {"model": f"composite/moa/{final_model}", "messages": MESSAGES, "proposers": [member], "aggregator": final}
    if not streamed:
        return composite_llm.get_trace(await litellm.acompletion(**call, **options))
    stream = await litellm.acompletion(**call, stream=True, **options)
    async for _ in stream:
        pass
    return composite_llm.get_trace(stream)


def the_attempt(trace: Trace, place: str) -> Any:
    (call,) = [call for call in trace.calls if (call.stage == "propose") is (place == "member")]
    (attempt,) = call.attempts
    return attempt


def billed(server: ThreadedServer, model: str, prices: tuple[float, float]) -> float:
    (record,) = [record for record in server.ledger.records if record.model == model.removeprefix("openai/")]
    assert record.usage is not None
    return float(record.usage["prompt_tokens"] * prices[0] + record.usage["completion_tokens"] * prices[1])


@both
@places
@pytest.mark.parametrize("cost", [0.0, 9.0, 1e-9, -1.0])
async def test_what_an_upstream_says_that_it_cost_is_not_taken(
    server: ThreadedServer, place: str, cost: float, streamed: bool
) -> None:
    server.set_scenario("gpt-4o-mini", {"usage": {"cost": cost}})
    attempt = the_attempt(await asked(server, {"model": LISTED}, place, streamed=streamed), place)
    assert attempt.cost_usd == pytest.approx(billed(server, LISTED, LISTED_PRICES))


@both
@places
@pytest.mark.parametrize("header", ["0", "0.0", "9.0"])
async def test_nor_what_it_says_in_a_header(server: ThreadedServer, place: str, header: str, streamed: bool) -> None:
    server.set_scenario("gpt-4o-mini", {"headers": {"x-litellm-response-cost": header}})
    attempt = the_attempt(await asked(server, {"model": LISTED}, place, streamed=streamed), place)
    assert attempt.cost_usd == pytest.approx(billed(server, LISTED, LISTED_PRICES))


@both
@places
async def test_it_gives_no_price_to_a_model_without_one(server: ThreadedServer, place: str, streamed: bool) -> None:
    server.set_scenario("nobody-knows", {"usage": {"cost": 0.0}, "headers": {"x-litellm-response-cost": "0.0"}})
    trace = await asked(server, {"model": NOBODYS}, place, streamed=streamed)
    assert the_attempt(trace, place).cost_usd is None
    assert trace.cost_usd is None


@both
@pytest.mark.parametrize(
    "told", [{"usage": {"cost": 0.0}}, {"headers": {"x-litellm-response-cost": "0"}}, {"no_usage": True}]
)
async def test_a_cap_holds_whatever_an_upstream_says_or_does_not(
    server: ThreadedServer, told: dict[str, Any], streamed: bool
) -> None:
    calls = [{"name": "look", "arguments": {"where": "everywhere " * 20}}]
    server.set_scenario("gpt-4o-mini", {"tool_calls": calls, **told})
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    direct = {"api_base": server.base_url, "api_key": KEY}
    stopped = await stopped_by_a_cap(
        proposers=[{"model": OTHER, "max_tokens": 1, **direct}],
        aggregator=direct,
        tools=[tool],
        tool_executor={"look": lambda where: "Nothing there."},
        max_tool_rounds=20,
        max_tokens=100,
        max_cost_usd=0.001,
        stream=streamed,
    )
    assert stopped
    assert 3 < len(server.ledger.records) < 15


async def stopped_by_a_cap(**options: Any) -> bool:
    try:
        response: Any = await litellm.acompletion(f"composite/moa/{LISTED}", MESSAGES, **options)
        if options["stream"]:
            async for _ in response:
                pass
    except composite_llm.BudgetExceeded:
        return True
    return False


@both
@places
@pytest.mark.parametrize("usage", [{"no_usage": True}, {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}])
async def test_an_answer_without_usage_is_counted_and_marked(
    server: ThreadedServer, place: str, usage: dict[str, Any], streamed: bool
) -> None:
    server.set_scenario("gpt-4o-mini", {"text": TEXT, **usage})
    trace = await asked(server, {"model": LISTED}, place, streamed=streamed)
    attempt = the_attempt(trace, place)
    asked_of = next(record for record in server.ledger.records if record.model == "gpt-4o-mini")
    assert attempt.estimated
    assert attempt.usage.prompt_tokens == litellm.token_counter(LISTED, messages=asked_of.body["messages"])
    assert attempt.usage.completion_tokens == litellm.token_counter(LISTED, text=TEXT)
    prices = attempt.usage.prompt_tokens * LISTED_PRICES[0] + attempt.usage.completion_tokens * LISTED_PRICES[1]
    assert attempt.cost_usd == pytest.approx(prices)
    other = next(call for call in trace.calls for one in call.attempts if one is not attempt)
    assert trace.cost_usd == pytest.approx(attempt.cost_usd + (other.cost_usd or 0.0))


@both
@places
@pytest.mark.parametrize("model", [LISTED, NOBODYS])
async def test_a_nodes_own_price_is_what_it_costs(
    server: ThreadedServer, place: str, model: str, streamed: bool
) -> None:
    costs = []
    with listening() as heard:
        for _ in range(2):
            server.ledger.clear()
            trace = await asked(server, {"model": model, **OWN}, place, streamed=streamed)
            costs.append(the_attempt(trace, place).cost_usd)
            assert costs[-1] == pytest.approx(billed(server, model, (0.001, 0.002)))
        events = await asyncio.to_thread(
            heard.wait, lambda events: sum(not event.is_composite for event in events) == 4
        )
    told = [event.response_cost for event in events if event.model == model.removeprefix("openai/")]
    assert told == pytest.approx(costs)


@both
async def test_a_nodes_own_price_is_not_its_neighbours(server: ThreadedServer, streamed: bool) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY}
    before = composite_llm.explain(f"composite/moa/{LISTED}", MESSAGES, proposers=[LISTED]).worst_cost_usd
    response: Any = await litellm.acompletion(
        f"composite/moa/{LISTED}",
        MESSAGES,
        stream=streamed,
        proposers=[{"model": LISTED, "name": "own", **direct, **OWN}, {"model": LISTED, "name": "listed", **direct}],
        aggregator=direct,
    )
    if streamed:
        async for _ in response:
            pass
    own, listed, final = composite_llm.get_trace(response).calls
    assert own.cost_usd == pytest.approx(own.usage.prompt_tokens * 0.001 + own.usage.completion_tokens * 0.002)
    for call in (listed, final):
        prompt, completion = LISTED_PRICES
        assert call.cost_usd == pytest.approx(
            call.usage.prompt_tokens * prompt + call.usage.completion_tokens * completion
        )
    assert composite_llm.explain(f"composite/moa/{LISTED}", MESSAGES, proposers=[LISTED]).worst_cost_usd == before


def test_a_nodes_own_price_is_in_the_plan_before_any_call(provider: None) -> None:
    model = f"composite/moa/{NOBODYS}"
    plan = composite_llm.explain(
        model, MESSAGES, proposers=[{"model": NOBODYS, "max_tokens": 100, **OWN}], aggregator=OWN, max_tokens=100
    )
    assert plan.unpriced == []
    assert plan.worst_cost_usd is not None
    assert plan.worst_cost_usd > 2 * 100 * 0.002


def test_a_cap_weighs_a_members_own_price_from_the_first_call_on(server: ThreadedServer) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY, "max_tokens": 100}
    answer = litellm.completion(
        f"composite/moa/{LISTED}",
        MESSAGES,
        proposers=[{"model": OTHER, **direct, **OWN}],
        aggregator=direct,
        max_cost_usd=0.05,
    )
    assert [record.model for record in server.ledger.records] == ["gpt-4o-mini"]
    assert composite_llm.get_trace(answer).degraded_codes == ["budget_reduced"]


@pytest.mark.parametrize("place", ["final", "fallback"])
def test_and_the_final_models_and_its_fallbacks(server: ThreadedServer, place: str) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY, "max_tokens": 100}
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    dear = {**direct, **OWN}
    with pytest.raises(composite_llm.BudgetExceeded):
        litellm.completion(
            f"composite/moa/{OTHER}",
            MESSAGES,
            proposers=[{"model": LISTED, **direct}],
            aggregator=dear if place == "final" else {**direct, "fallbacks": [{"model": "openai/gpt-4.1", **dear}]},
            max_cost_usd=0.05,
        )
    asked_for = [record.model for record in server.ledger.records]
    assert asked_for == ([] if place == "final" else ["gpt-4o-mini", "gpt-4o"])


def test_a_cap_needs_no_allow_unpriced_where_a_node_names_its_price(server: ThreadedServer) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY, **OWN}
    answer = litellm.completion(
        f"composite/moa/{NOBODYS}", MESSAGES, proposers=[{"model": NOBODYS, **direct}], aggregator=direct,
        max_cost_usd=50.0,
    )  # fmt: skip
    assert answer._hidden_params["response_cost"] > 0


@pytest.mark.parametrize("price", [-0.001, "cheap", float("nan"), None])
def test_a_price_that_is_none_does_not_count_as_free(server: ThreadedServer, price: Any) -> None:
    node = {"model": NOBODYS, "input_cost_per_token": price, "output_cost_per_token": price}
    with pytest.raises(composite_llm.InvalidOption):
        litellm.completion(f"composite/moa/{LISTED}", MESSAGES, proposers=[node], max_cost_usd=1.0, api_key=KEY)
    assert server.ledger.records == []


async def test_one_price_alone_goes_with_the_tables_other(server: ThreadedServer) -> None:
    node = {"model": LISTED, "output_cost_per_token": 0.002}
    attempt = the_attempt(await asked(server, node, "member", streamed=False), "member")
    assert attempt.cost_usd == pytest.approx(billed(server, LISTED, (LISTED_PRICES[0], 0.002)))


@pytest.mark.parametrize("own", [{}, {"cache_read_input_token_cost": 0.0001}])
async def test_cached_tokens_have_a_nodes_own_price_too(server: ThreadedServer, own: dict[str, float]) -> None:
    server.set_scenario("nobody-knows", {"usage": {"prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 10}})
    attempt = the_attempt(await asked(server, {"model": NOBODYS, **OWN, **own}, "member", streamed=False), "member")
    read = own.get("cache_read_input_token_cost", 0.001)
    assert attempt.cost_usd == pytest.approx(40 * 0.001 + 60 * read + 10 * 0.002)


@pytest.mark.parametrize("said", ["litellm_params", "model_info"])
@both
async def test_an_operators_price_counts_for_a_routers_name(server: ThreadedServer, said: str, streamed: bool) -> None:
    from composite_llm import runtime

    direct = {"api_base": server.base_url, "api_key": KEY}
    own: dict[str, dict[str, Any]] = {"litellm_params": {"model": NOBODYS, **direct}, "model_info": {}}
    own[said] |= OWN
    router = litellm.Router(model_list=[{"model_name": "pool", **own}], num_retries=0)
    composite_llm.register(config={}, router=router)
    try:
        plan = composite_llm.explain("composite/moa/pool", MESSAGES, proposers=["pool"])
        server.set_scenario("nobody-knows", {"usage": {"cost": 0.0}})
        response: Any = await litellm.acompletion(
            "composite/moa/pool", MESSAGES, proposers=["pool"], stream=streamed, max_cost_usd=100.0
        )
        if streamed:
            async for _ in response:
                pass
    finally:
        runtime.use_router(None)
    assert plan.unpriced == []
    used = [record.usage for record in server.ledger.records]
    total = sum(one["prompt_tokens"] * 0.001 + one["completion_tokens"] * 0.002 for one in used if one is not None)
    assert composite_llm.get_trace(response).cost_usd == pytest.approx(total)


@both
def test_openrouter_is_taken_at_its_word(server: ThreadedServer, streamed: bool) -> None:
    server.set_scenario("*nobody-knows", {"usage": {"cost": 0.25}})
    direct = {"api_base": server.base_url, "api_key": KEY}
    response: Any = litellm.completion(
        "composite/moa/openrouter/acme/nobody-knows",
        MESSAGES,
        stream=streamed,
        proposers=[{"model": OTHER, **direct}],
        aggregator=direct,
    )
    if streamed:
        for _ in response:
            pass
    assert the_attempt(composite_llm.get_trace(response), "final").cost_usd == pytest.approx(0.25)


@both
async def test_a_cap_too_low_for_an_answer_without_a_limit_says_what_to_set(
    server: ThreadedServer, streamed: bool
) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY}
    call: dict[str, Any] = {
        "model": f"composite/moa/{OTHER}",
        "messages": MESSAGES,
        "proposers": [{"model": LISTED, "max_tokens": 60, **direct}],
        "stream": streamed,
    }
    said = await refusal(**call, aggregator={"name": "the last one", **direct}, max_cost_usd=0.004)
    assert "max_cost_usd of 0.004 leaves too little" in said
    assert "the last one has no max_tokens, so its answer counts with the 16384 tokens that it may have" in said
    enough = float(said.rpartition("max_cost_usd to at least ")[2])
    assert server.ledger.records == []
    assert await refusal(**call, aggregator=direct, max_cost_usd=enough) == ""
    assert await refusal(**call, aggregator={"max_tokens": 60, **direct}, max_cost_usd=0.004) == ""


async def test_a_cap_too_low_for_an_answer_with_a_limit_does_not_advise_one(server: ThreadedServer) -> None:
    direct = {"api_base": server.base_url, "api_key": KEY, "max_tokens": 10_000}
    said = await refusal(
        model=f"composite/moa/{OTHER}",
        messages=MESSAGES,
        proposers=[{"model": LISTED, **direct}],
        aggregator=direct,
        max_cost_usd=0.004,
        stream=False,
    )
    assert "leaves too little" in said
    assert "max_tokens" not in said


async def refusal(**call: Any) -> str:
    """The text of the 402 that a run ends with; blank where it ends well."""
    try:
        response: Any = await litellm.acompletion(**call)
        if call["stream"]:
            async for _ in response:
                pass
    except composite_llm.BudgetExceeded as error:
        return error.message
    return ""
