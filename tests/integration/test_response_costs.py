"""`litellm.completion_cost`, the documented way to what a response cost, and `get_trace` where there is no trace."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal
from litellm import completion_cost as imported_before_anybody_registered
from litellm.caching.caching import Cache

import composite_llm
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FINAL, FIRST, MOA, SECOND, Ask, asking, at, through

NESTED = f"composite/moa/{FIRST}"
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "self-moa": (MOA, {}),
    "council": (COUNCIL, {"members": [FIRST, SECOND]}),
    "nested": (MOA, {"proposers": [NESTED]}),
}
UNPRICED = {"proposers": ["openai/nobody-knows-its-price"]}


def shape_at(server: ThreadedServer, shape: str) -> tuple[str, dict[str, Any]]:
    """A nested composite's models are where its node says."""
    model, options = SHAPES[shape]
    return (model, {"proposers": [at(server, NESTED)]}) if shape == "nested" else (model, options)


WAYS: dict[str, Callable[[Any], Any]] = {
    "the response": lambda response: response,
    "a deep copy": copy.deepcopy,
    "its dictionary": lambda response: response.model_dump(),
    "its JSON, read again": lambda response: litellm.ModelResponse(**json.loads(response.model_dump_json())),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_completion_cost_is_the_runs_cost(shape: str, way: str, ask: Ask, server: ThreadedServer) -> None:
    model, options = shape_at(server, shape)
    response = ask(model, **options)
    expected = composite_llm.get_trace(response).cost_usd
    assert expected
    assert litellm.completion_cost(completion_response=WAYS[way](response)) == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_completion_cost_of_a_stream_put_together(shape: str, ask: Ask, server: ThreadedServer) -> None:
    model, options = shape_at(server, shape)
    stream = ask(model, stream=True, **options)
    response = litellm.stream_chunk_builder(list(stream))
    assert litellm.completion_cost(completion_response=response) == pytest.approx(
        composite_llm.get_trace(stream).cost_usd
    )


def test_a_function_imported_before_tells_the_same(ask: Ask, server: ThreadedServer) -> None:
    response = ask(proposers=[FIRST])
    assert imported_before_anybody_registered(response) == composite_llm.get_trace(response).cost_usd


class InMemory(litellm.BudgetManager):
    """LiteLLM's writes a file into the working directory, on a thread that outlives the test."""

    def save_data(self) -> dict[str, Any]:
        return {"status": "success"}


def test_litellms_budget_manager_counts_composites(ask: Ask, server: ThreadedServer) -> None:
    manager = InMemory(project_name="test", client_type="local")
    manager.create_budget(total_budget=1.0, user="ann")
    response = ask(proposers=[FIRST])
    manager.update_cost(user="ann", completion_obj=response)
    assert manager.get_current_cost(user="ann") == pytest.approx(composite_llm.get_trace(response).cost_usd)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_an_unknown_cost_raises_as_for_any_model_without_a_price(
    streamed: bool, ask: Ask, server: ThreadedServer
) -> None:
    answer = ask(stream=streamed, **UNPRICED)
    response = litellm.stream_chunk_builder(list(answer)) if streamed else answer
    with pytest.raises(Exception, match="moa/openai/gpt-4o"):
        litellm.completion_cost(completion_response=response)


def test_no_price_per_token_is_made_up_for_a_composite(provider: None) -> None:
    with pytest.raises(Exception, match="composite/moa"):
        litellm.cost_per_token(model=MOA, prompt_tokens=10, completion_tokens=20)


@pytest.fixture
def plain(server: ThreadedServer, portal: BlockingPortal) -> Any:
    """A plain model's answer. LiteLLM's synchronous call leaves a loop behind, which a later test would be blamed for."""
    return asking(server, through(portal))(FINAL)


def test_other_models_cost_what_they_cost(plain: Any) -> None:
    parts = litellm.cost_per_token(
        model="gpt-4o",
        prompt_tokens=plain.usage.prompt_tokens,
        completion_tokens=plain.usage.completion_tokens,
    )
    assert litellm.completion_cost(completion_response=plain) == pytest.approx(sum(parts)) != 0


@pytest.fixture
def response_cache(provider: None) -> Iterator[None]:
    litellm.cache = Cache(type="local")
    yield
    litellm.disable_cache()
    litellm.cache = None


@pytest.mark.usefixtures("response_cache")
def test_an_answer_out_of_the_cache_has_no_trace_and_says_so(server: ThreadedServer) -> None:
    ask = asking(server)
    first, second = (ask(proposers=[FIRST]) for _ in range(2))
    assert composite_llm.get_trace(first).status == "ok"
    assert composite_llm.get_trace(second, default=None) is None
    with pytest.raises(ValueError, match="response cache"):
        composite_llm.get_trace(second)


def test_another_models_answer_has_no_trace(plain: Any) -> None:
    assert composite_llm.get_trace(plain, default=None) is None
    assert composite_llm.get_trace(plain, "none") == "none"
    with pytest.raises(ValueError, match="no composite trace on this ModelResponse"):
        composite_llm.get_trace(plain)
