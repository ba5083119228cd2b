"""Which failures of a composite put it into a Router's cooldown: facts of LiteLLM that the proxy's statuses rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.backend.litellm_error_classes import to_litellm_error
from composite_llm.model.errors import BudgetExceeded, CompositeError, InvalidOutput, RunTimeout, UnknownProfile
from composite_llm.proxy.blame import told_to_client
from fake_server import ThreadedServer
from tests.support.asking import FIRST, KEY, MESSAGES, SECOND

TIMES = 20
"""A deployment goes when most of at least five of its calls within a minute failed."""


class Moody(litellm.CustomLLM):
    """Raises what it is told to, as long as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.raises: Exception | None = None

    async def acompletion(self, **kwargs: Any) -> litellm.ModelResponse:  # type: ignore[override]
        if self.raises is not None:
            raise self.raises
        response: litellm.ModelResponse = kwargs["model_response"]
        return response


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch, provider: None) -> Iterator[Moody]:
    handler = Moody()
    entries = [*litellm.custom_provider_map, {"provider": "moody", "custom_handler": handler}]
    monkeypatch.setattr(litellm, "custom_provider_map", entries)
    litellm.utils.custom_llm_setup()
    yield handler
    litellm.provider_list.remove("moody")
    litellm._custom_providers.remove("moody")


def _router() -> litellm.Router:
    deployments = [{"model_name": "a", "litellm_params": {"model": f"moody/{number}"}} for number in (1, 2)]
    return litellm.Router(model_list=deployments, num_retries=0, cooldown_time=600)


async def _is_left(moody: Moody, error: Exception) -> bool:
    """Whether the Router still has a deployment after these failures."""
    router = _router()
    moody.raises = error
    for _ in range(TIMES):
        with pytest.raises(Exception):  # noqa: B017, PT011  # the Router's own, once it has nobody left
            await router.acompletion("a", MESSAGES)
    moody.raises = None
    try:
        await router.acompletion("a", MESSAGES)
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


ERRORS: dict[str, Callable[[], CompositeError]] = {
    "a cap": lambda: BudgetExceeded("max_cost_usd", 1, 2),
    "a profile": lambda: UnknownProfile("no such profile"),
    "a time limit": lambda: RunTimeout(1, ()),
    "an output": lambda: InvalidOutput("no JSON"),
    "a mistake": lambda: CompositeError("internal error"),
}
COUNTED = ("a profile", "a time limit", "a mistake")


@pytest.mark.parametrize("name", COUNTED)
async def test_a_router_counts_these(name: str, moody: Moody) -> None:
    assert not await _is_left(moody, to_litellm_error(ERRORS[name](), "moody/1"))


@pytest.mark.parametrize("name", COUNTED)
async def test_it_counts_none_that_it_is_told_not_to(name: str, moody: Moody) -> None:
    assert await _is_left(moody, to_litellm_error(ERRORS[name](), "moody/1", cools=False))


@pytest.mark.parametrize("name", ["a cap", "an output"])
async def test_the_statuses_that_a_client_is_told_are_not_counted(name: str, moody: Moody) -> None:
    assert await _is_left(moody, to_litellm_error(told_to_client(ERRORS[name]()), "moody/1"))


async def test_a_composite_whose_callers_make_mistakes_stays_and_one_whose_models_fail_goes(
    server: ThreadedServer, provider: None
) -> None:
    base = {"api_base": server.base_url, "api_key": KEY, "aggregator": {"num_retries": 0}}
    router = litellm.Router(
        model_list=[
            {
                "model_name": "a",
                "litellm_params": {"model": "composite/moa/openai/gpt-4o", "proposers": [member], **base},
            }
            for member in (FIRST, SECOND)
        ],
        num_retries=0,
        cooldown_time=600,
    )
    for number in range(TIMES):
        asked = [{"role": "user", "content": f"In JSON, please, {number}."}]
        with pytest.raises(composite_llm.InvalidOutput):
            await router.acompletion("a", asked, response_format={"type": "json_object"})
    await router.acompletion("a", MESSAGES)
    composite_llm.reset_breakers()
    server.set_scenario("gpt-4o", {"error": {"status": 500}})
    for number in range(TIMES):
        with pytest.raises(Exception):  # noqa: B017, PT011  # the Router's own, once it has nobody left
            await router.acompletion("a", [{"role": "user", "content": f"Once more, {number}."}])
    server.reset_scenarios()
    with pytest.raises(litellm.types.router.RouterRateLimitError):
        await router.acompletion("a", MESSAGES)
