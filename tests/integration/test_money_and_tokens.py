"""What a run used and what it cost: the same number in the trace, in the response and in every callback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask, at
from tests.support.listening import Listener, listening

UNPRICED = "openai/nobody-knows-its-price"
FREE = "openai/free-of-charge"


@pytest.fixture(scope="module", autouse=True)
def _a_free_model() -> Iterator[None]:
    litellm.register_model(
        {
            FREE: {
                "litellm_provider": "openai",
                "mode": "chat",
                "input_cost_per_token": 0.0,
                "output_cost_per_token": 0.0,
            }
        }
    )
    yield
    litellm.model_cost.pop(FREE, None)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def by_price_table(server: ThreadedServer) -> float:
    """What LiteLLM's table says of everything that the server answered."""
    total = 0.0
    for record in server.ledger.records:
        if record.usage is None:
            continue
        usage = litellm.Usage(
            **{key: value for key, value in record.usage.items() if key != "cache_creation_input_tokens"}
        )
        total += sum(
            litellm.cost_per_token(
                model=str(record.model),
                custom_llm_provider="openai",
                usage_object=usage,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        )
    return total


SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "moa of two layers": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "self-moa": (MOA, {}),
    "council": (COUNCIL, {"members": [FIRST, SECOND, THIRD]}),
    "council of personas": (COUNCIL, {}),
    "free member": (MOA, {"proposers": [FREE, FIRST]}),
}


def assert_the_books_agree(answer: Any, server: ThreadedServer) -> None:
    """Trace, response and server name the same tokens and the same money."""
    trace, spent = composite_llm.get_trace(answer), wire.tokens(server)
    usage = answer.usage
    assert (trace.usage.prompt_tokens, trace.usage.completion_tokens, trace.usage.total_tokens) == (
        spent["prompt_tokens"],
        spent["completion_tokens"],
        spent["total_tokens"],
    )
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
        spent["prompt_tokens"],
        spent["completion_tokens"],
        spent["total_tokens"],
    )
    assert trace.usage.cached_tokens == usage.prompt_tokens_details.cached_tokens == spent["cached_tokens"]
    assert trace.usage.reasoning_tokens == spent["reasoning_tokens"]
    assert trace.cost_usd == pytest.approx(by_price_table(server), abs=1e-12)
    assert answer._hidden_params["response_cost"] == trace.cost_usd
    assert sum(call.usage.total_tokens for call in trace.calls) == trace.usage.total_tokens


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_and_money_are_the_sum_of_all_calls(shape: str, ask_both: Ask, server: ThreadedServer) -> None:
    model, options = SHAPES[shape]
    assert_the_books_agree(ask_both(model, **options), server)


def nested(server: ThreadedServer, depth: int) -> dict[str, Any]:
    """A node that is a composite, whose first proposer is another one, down to the depth."""
    inner: Any = at(server, f"composite/council/{SECOND}", members=[FIRST, THIRD])
    return inner if depth == 2 else at(server, f"composite/moa/{THIRD}", proposers=[inner, FIRST])


@pytest.mark.parametrize("depth", [2, 3])
def test_nested_composites_count_once(depth: int, ask_both: Ask, server: ThreadedServer, listener: Listener) -> None:
    answer = ask_both(proposers=[nested(server, depth), FIRST])
    assert_the_books_agree(answer, server)
    assert len(server.ledger.records) == {2: 7, 3: 9}[depth]
    assert listener.composite().response_cost == composite_llm.get_trace(answer).cost_usd


def test_a_composite_as_the_aggregator_counts_once(ask_both: Ask, server: ThreadedServer, listener: Listener) -> None:
    answer = ask_both(f"composite/moa/composite/moa/{FINAL}", proposers=[at(server, FIRST)])
    assert_the_books_agree(answer, server)
    assert listener.composite().response_cost == answer._hidden_params["response_cost"]


def test_answers_that_were_no_use_are_paid_for_all_the_same(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"blank": True})
    server.set_scenario("gpt-4.1-nano", {"text": "filtered", "finish_reason": "content_filter"})
    answer = ask_both(proposers=[FIRST, SECOND, THIRD])
    assert len(composite_llm.get_trace(answer).degraded) == 2
    assert_the_books_agree(answer, server)


def test_failed_members_and_retries_are_counted(ask_both: Ask, server: ThreadedServer) -> None:
    busy = {"error": {"status": 429, "retry_after": 0}}
    server.set_scenario("gpt-4o-mini", {"sequence": [busy, busy, {"text": "At last."}]})
    server.set_scenario("gpt-4.1-nano", {"error": {"status": 400}})
    answer = ask_both(proposers=[FIRST, SECOND, THIRD])
    assert_the_books_agree(answer, server)
    trace = composite_llm.get_trace(answer)
    assert [len(call.attempts) for call in trace.calls] == [3, 1, 1, 1]
    assert [call.status for call in trace.calls] == ["ok", "ok", "failed", "ok"]


def test_a_fallbacks_answer_is_priced_as_the_fallbacks(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    answer = ask_both(proposers=[{"model": FIRST, "fallbacks": [SECOND]}])
    assert_the_books_agree(answer, server)
    assert composite_llm.get_trace(answer).calls[0].model == SECOND


def test_cached_tokens_are_counted_and_cheaper(ask_both: Ask, server: ThreadedServer) -> None:
    usage = {"prompt_tokens": 2000, "completion_tokens": 10}
    server.set_scenario("gpt-4o-mini", {"text": "x", "usage": {**usage, "cached_tokens": 1500}})
    server.set_scenario("gpt-4.1-mini", {"text": "x", "usage": usage})
    answer = ask_both(proposers=[FIRST, SECOND])
    assert_the_books_agree(answer, server)
    assert answer.usage.prompt_tokens_details.cached_tokens == 1500
    entry = litellm.model_cost["gpt-4o-mini"]
    by_hand = (
        500 * entry["input_cost_per_token"]
        + 1500 * entry["cache_read_input_token_cost"]
        + 10 * entry["output_cost_per_token"]
    )
    assert composite_llm.get_trace(answer).calls[0].cost_usd == pytest.approx(by_hand)


def test_cached_tokens_cost_the_same_in_a_stream(ask_both: Ask, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("*", {"text": "x", "usage": {"prompt_tokens": 2000, "cached_tokens": 1500}})
    stream = ask(proposers=[FIRST], stream=True)
    assert list(stream)
    cost = composite_llm.get_trace(stream).cost_usd
    assert cost == pytest.approx(by_price_table(server))
    assert cost == pytest.approx(composite_llm.get_trace(ask_both(proposers=[FIRST])).cost_usd)


def test_what_earlier_stages_generate_counts_as_reasoning(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "x", "usage": {"completion_tokens": 40, "reasoning_tokens": 30}})
    server.set_scenario("gpt-4.1-mini", {"text": "x", "usage": {"completion_tokens": 20}})
    server.set_scenario("gpt-4o", {"text": "x", "usage": {"completion_tokens": 100, "reasoning_tokens": 70}})
    answer = ask_both(proposers=[FIRST, SECOND])
    assert answer.usage.completion_tokens == 160
    assert answer.usage.completion_tokens_details.reasoning_tokens == 40 + 20 + 70
    assert composite_llm.get_trace(answer).usage.reasoning_tokens == 30 + 70


def test_all_a_nested_member_generates_counts_as_reasoning(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("*", {"text": "x", "usage": {"completion_tokens": 10}})
    answer = ask_both(proposers=[nested(server, 2)])
    assert answer.usage.completion_tokens == 60
    assert answer.usage.completion_tokens_details.reasoning_tokens == 50


def test_a_composite_aggregators_own_final_call_does_not_count_as_reasoning(
    ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("*", {"text": "x", "usage": {"completion_tokens": 10}})
    answer = ask_both(
        f"composite/moa/composite/moa/{FINAL}",
        proposers=[at(server, FIRST)],
        aggregator={"proposers": [SECOND]},
    )
    assert answer.usage.completion_tokens == 30
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20


@pytest.mark.parametrize(
    ("model", "options"),
    [
        pytest.param(MOA, {"proposers": [FIRST, UNPRICED]}, id="member"),
        pytest.param(f"composite/moa/{UNPRICED}", {"proposers": [FIRST]}, id="aggregator"),
        pytest.param(COUNCIL, {"members": [FIRST, SECOND], "reviewers": [UNPRICED]}, id="reviewer"),
    ],
)
def test_an_unknown_price_makes_the_total_unknown_everywhere(
    model: str, options: dict[str, Any], ask_both: Ask, server: ThreadedServer, listener: Listener
) -> None:
    answer = ask_both(model, **options)
    trace = composite_llm.get_trace(answer)
    assert trace.cost_usd is None
    assert answer._hidden_params["response_cost"] is None
    assert listener.composite().response_cost is None
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"]
    assert "price unknown" in answer.choices[0].message.reasoning_content
    assert any(call.cost_usd for call in trace.calls)


def test_a_price_of_zero_is_a_price(ask_both: Ask, listener: Listener) -> None:
    answer = ask_both(f"composite/moa/{FREE}", proposers=[FREE])
    assert composite_llm.get_trace(answer).cost_usd == 0.0
    assert answer._hidden_params["response_cost"] == 0.0
    assert listener.composite().response_cost == 0.0


def test_prices_given_with_a_node_count(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("*", {"text": "x", "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
    # A name of its own: LiteLLM keeps the prices given with a call for all later calls of that model.
    priced = at(server, "openai/priced-with-the-node", input_cost_per_token=0.01, output_cost_per_token=0.1)
    answer = ask_both(f"composite/moa/{FREE}", proposers=[priced])
    assert composite_llm.get_trace(answer).cost_usd == pytest.approx(2.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_callback_hears_of_the_composite_once_with_the_whole_cost(
    shape: str, ask_both: Ask, server: ThreadedServer, listener: Listener
) -> None:
    model, options = SHAPES[shape]
    answer = ask_both(model, **options)
    cost = composite_llm.get_trace(answer).cost_usd
    listener.wait(lambda heard: len(heard) > len(server.ledger.records))
    event = listener.composite()
    assert event.succeeded
    assert event.response_cost == pytest.approx(cost)
    assert event.standard["response_cost"] == pytest.approx(cost)
    assert event.standard["total_tokens"] == answer.usage.total_tokens
    # The calls tell their own part, marked as the run's; together they are the same money.
    parts = [part for part in listener.heard if not part.is_composite]
    assert len(parts) == len(server.ledger.records)
    assert sum(part.response_cost or 0.0 for part in parts) == pytest.approx(cost)
    assert {part.metadata["composite_run"] for part in parts} == {composite_llm.get_trace(answer).id}


def test_a_failed_run_still_says_what_it_spent(ask_both: Ask, server: ThreadedServer, listener: Listener) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        ask_both(proposers=[FIRST, SECOND])
    trace = composite_llm.get_trace(caught.value)
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"] > 0
    assert trace.cost_usd == pytest.approx(by_price_table(server))
    listener.wait(lambda heard: any(event.is_composite and not event.succeeded for event in heard))
    (event,) = [event for event in listener.heard if event.is_composite]
    assert event.response_cost == pytest.approx(trace.cost_usd)


@pytest.fixture
def router(server: ThreadedServer) -> litellm.Router:
    deployed = {"model": MOA, "api_base": server.base_url, "api_key": KEY, "proposers": [FIRST, SECOND]}
    return litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}])


def test_a_routers_response_has_the_cost(router: litellm.Router, server: ThreadedServer, listener: Listener) -> None:
    answer = router.completion(model="wise", messages=MESSAGES)
    assert_the_books_agree(answer, server)
    assert listener.composite().response_cost == pytest.approx(answer._hidden_params["response_cost"])


async def test_a_routers_async_response_has_the_cost(router: litellm.Router, server: ThreadedServer) -> None:
    answer = await router.acompletion(model="wise", messages=MESSAGES)
    assert_the_books_agree(answer, server)


def test_tokens_of_executed_tool_rounds_are_counted(ask_both: Ask, server: ThreadedServer) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    server.set_scenario("gpt-4o", {"sequence": [{"tool_calls": [{"name": "look"}]}, {"text": "Seen."}]})
    answer = ask_both(proposers=[FIRST], tools=tools, tool_executor=lambda name, arguments: "a cat")
    assert len(server.ledger.records) == 3
    assert_the_books_agree(answer, server)
