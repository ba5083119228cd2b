"""What is known of a Router's name: as bad as the worst deployment behind it, as dear as the dearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm.types.router import Deployment, LiteLLM_Params

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import KEY, MESSAGES, Ask

Route = Callable[..., None]
DEAR = {"input_cost_per_token": 0.01, "output_cost_per_token": 0.02}
UNKNOWN = "openai/nobody-knows"
PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
    }
]


@pytest.fixture
def route(provider: None, server: ThreadedServer) -> Iterator[Route]:
    """Registers a Router; `route({"pool": [("openai/gpt-4o", {…own settings…}, {…model_info…}), …]})`."""
    from composite_llm import runtime

    def made(names: dict[str, list[Any]], **settings: Any) -> None:
        deployments = [
            {
                "model_name": name,
                "litellm_params": {"model": model, "api_base": server.base_url, "api_key": KEY, **own},
                "model_info": info,
            }
            for name, behind in names.items()
            for model, own, info in ((*one, {}, {})[:3] if isinstance(one, tuple) else (one, {}, {}) for one in behind)
        ]
        composite_llm.register(config={}, router=litellm.Router(model_list=deployments, num_retries=0, **settings))

    # A Router writes what its deployments say into LiteLLM's table, under the models' own names too.
    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    yield made
    runtime.use_router(None)
    litellm.model_cost.clear()
    litellm.model_cost.update(before)
    # Empties what LiteLLM remembers of its table.
    litellm.register_model({})


def asked(*proposers: str, final: str = "final", messages: Any = MESSAGES, **options: Any) -> Any:
    """A composite over a Router's names."""
    return litellm.completion(f"composite/moa/{final}", messages, proposers=list(proposers), **options)


def worst_cost(*proposers: str, final: str = "final", **options: Any) -> float:
    """By `explain`."""
    found = composite_llm.explain(f"composite/moa/{final}", MESSAGES, proposers=list(proposers), **options)
    assert found.unpriced == []
    assert found.worst_cost_usd is not None
    return found.worst_cost_usd


def test_a_cap_needs_no_allow_unpriced_where_every_deployment_has_a_price(route: Route, server: ThreadedServer) -> None:
    route({"pool": ["openai/gpt-4o-mini", "openai/gpt-4.1-nano"], "final": ["openai/gpt-4o"]})
    answer = asked("pool", max_cost_usd=1.0)
    assert len(server.ledger.records) == 2
    assert answer._hidden_params["response_cost"] > 0


def test_a_cap_names_the_name_behind_which_a_deployment_has_no_price(route: Route, server: ThreadedServer) -> None:
    route({"pool": ["openai/gpt-4o-mini", UNKNOWN], "final": ["openai/gpt-4o"]})
    with pytest.raises(composite_llm.InvalidOption, match="price of pool is unknown"):
        asked("pool", max_cost_usd=1.0)
    assert server.ledger.records == []


def test_the_worst_case_is_the_dearest_deployment(route: Route) -> None:
    route({"pool": ["openai/gpt-4.1-nano"], "mixed": ["openai/gpt-4.1-nano", "openai/gpt-4o"], "final": [UNKNOWN]})
    # Without a final price there is no worst case, so each is the final model in turn.
    cheap = worst_cost("pool", final="pool", max_tokens=100)
    assert worst_cost("pool", final="mixed", max_tokens=100) > cheap


def test_a_deployments_own_price_counts_before_the_table(route: Route, server: ThreadedServer) -> None:
    route({"pool": [("openai/gpt-4o-mini", DEAR)], "final": ["openai/gpt-4o"]})
    assert worst_cost("pool", max_tokens=100) > 100 * DEAR["output_cost_per_token"]
    with pytest.raises(composite_llm.BudgetExceeded, match="max_cost_usd"):
        asked("final", final="pool", max_cost_usd=0.5, max_tokens=100)


@pytest.mark.parametrize("place", [1, 2], ids=["litellm_params", "model_info"])
def test_an_unknown_model_with_a_price_of_its_own_is_priced(route: Route, server: ThreadedServer, place: int) -> None:
    one: list[Any] = [UNKNOWN, {}, {}]
    one[place] = DEAR
    route({"pool": [tuple(one)], "final": ["openai/gpt-4o-mini"]})
    answer = asked("pool", max_cost_usd=500.0)
    (call, _) = composite_llm.get_trace(answer).calls
    used = wire.record(server, "nobody-knows").usage
    assert used is not None
    assert call.cost_usd == pytest.approx(used["prompt_tokens"] * 0.01 + used["completion_tokens"] * 0.02)


def test_a_base_model_says_what_a_deployment_is(route: Route) -> None:
    route({"pool": [("openai/our-deployment", {}, {"base_model": "gpt-4o"})], "same": ["openai/gpt-4o"]})
    assert worst_cost("pool", final="pool") == pytest.approx(worst_cost("same", final="same"))


def test_fallbacks_of_the_router_can_be_the_dearest(route: Route) -> None:
    names = {"pool": ["openai/gpt-4.1-nano"], "spare": ["openai/gpt-4.1-mini"], "last": [("openai/gpt-4o", DEAR)]}
    route(names)
    alone = worst_cost("pool", final="pool", max_tokens=10)
    route(names, fallbacks=[{"pool": ["spare"]}, {"spare": ["last"]}])
    assert worst_cost("pool", final="pool", max_tokens=10) > 10 * alone


def test_an_alias_is_what_it_stands_for(route: Route) -> None:
    route(
        {"pool": ["openai/gpt-4o-mini"]},
        model_group_alias={"other": "pool", "hidden": {"model": "pool", "hidden": True}},
    )
    assert (
        worst_cost("other", final="other") == worst_cost("hidden", final="hidden") == worst_cost("pool", final="pool")
    )


def test_the_cost_of_a_deployment_without_a_price_is_unknown_and_not_nothing(route: Route) -> None:
    route({"pool": [UNKNOWN], "final": ["openai/gpt-4o"]})
    trace = composite_llm.get_trace(asked("pool"))
    assert trace.calls[0].cost_usd is None
    assert trace.cost_usd is None
    assert trace.usage.total_tokens > 0


def test_a_price_of_zero_is_a_price(route: Route) -> None:
    free = {"input_cost_per_token": 0, "output_cost_per_token": 0}
    route({"pool": [(UNKNOWN, free)], "final": ["openai/gpt-4o-mini"]})
    trace = composite_llm.get_trace(asked("pool", max_cost_usd=1.0))
    assert trace.calls[0].cost_usd == 0


def test_a_composite_behind_a_name_needs_no_price_of_its_own(route: Route, server: ThreadedServer) -> None:
    inner = ("composite/moa/final", {"proposers": ["small"]})
    route({"inner": [inner], "small": ["openai/gpt-4o-mini"], "final": ["openai/gpt-4o"]})
    answer = asked("inner", max_cost_usd=1.0)
    assert sorted(map(str, wire.models(server))) == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert composite_llm.get_trace(answer).cost_usd == pytest.approx(answer._hidden_params["response_cost"])


def test_the_smallest_window_behind_a_name_is_its_window(route: Route, server: ThreadedServer) -> None:
    small: tuple[Any, ...] = ("openai/gpt-4o-mini", {}, {"max_input_tokens": 50})
    route({"pool": ["openai/gpt-4o-mini"], "final": ["openai/gpt-4o", small]})
    with pytest.raises(litellm.ContextWindowExceededError, match="50 tokens"):
        asked("pool", messages=[{"role": "user", "content": "Which bridge is the oldest? " * 40}])
    assert server.ledger.records == []


def test_candidates_are_cut_to_the_window_that_the_operator_says(route: Route, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "Long ago a bridge was built here. " * 150})
    route({"pool": ["openai/gpt-4o-mini"], "final": [("openai/gpt-4o", {}, {"max_input_tokens": 900})]})
    answer = asked("pool")
    sent = wire.body(server, "gpt-4o")["messages"]
    assert litellm.token_counter(model="openai/gpt-4o", messages=sent) <= 900
    assert composite_llm.get_trace(answer).degraded[0].startswith("context_cut")


def test_pictures_are_refused_where_no_deployment_behind_a_name_takes_them(
    route: Route, server: ThreadedServer
) -> None:
    route({"pool": ["openai/gpt-3.5-turbo"], "final": ["openai/gpt-4o"]})
    with pytest.raises(composite_llm.InvalidOption, match="image"):
        asked("pool", messages=PICTURE)
    assert server.ledger.records == []


@pytest.mark.parametrize(
    "behind",
    [
        ["openai/gpt-4o"],
        [("openai/gpt-3.5-turbo", {}, {"supports_vision": True})],
        ["openai/gpt-3.5-turbo", "openai/gpt-4o"],
        [UNKNOWN],
    ],
    ids=["takes-them", "the-operator-says-so", "one-of-two", "nobody-knows"],
)
def test_pictures_pass_where_a_deployment_may_take_them(
    route: Route, server: ThreadedServer, behind: list[Any]
) -> None:
    route({"pool": behind, "final": ["openai/gpt-4o"]})
    asked("pool", messages=PICTURE)
    assert len(server.ledger.records) == 2


def test_what_the_operator_changes_is_seen_at_once(route: Route, ask: Ask) -> None:
    from composite_llm import runtime

    route({"pool": ["openai/gpt-4o-mini"]})
    before = worst_cost("pool", final="pool", max_tokens=10)
    router = runtime._router.own
    params = LiteLLM_Params(model="openai/gpt-4o", api_key=KEY)
    router.add_deployment(Deployment(model_name="pool", litellm_params=params))
    assert worst_cost("pool", final="pool", max_tokens=10) > before
