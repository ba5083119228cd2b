"""Circuit breakers of the process, against real HTTP: when they open, what they skip, and whom they leave alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer, running_in_thread
from tests.support import wire
from tests.support.asking import FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask, at
from tests.support.streams import streamed

DOWN = {"error": {"status": 503}}


@pytest.fixture(autouse=True)
def _fresh(provider: None) -> Iterator[None]:
    composite_llm.reset_breakers()
    yield
    composite_llm.reset_breakers()
    composite_llm.register(config={}, breaker={"failures": 5, "window_s": 60, "open_s": 30})


def once(model: str, **settings: Any) -> dict[str, Any]:
    return {"model": model, "num_retries": 0, **settings}


def ask_times(ask: Ask, times: int, **options: Any) -> list[litellm.ModelResponse]:
    return [ask(**options) for _ in range(times)]


def test_a_dead_model_is_asked_five_times_and_then_skipped_at_once(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", DOWN)
    *_, sixth, seventh = ask_times(ask_both, 7, proposers=[once(FIRST), SECOND])
    assert len(wire.records(server, "gpt-4o-mini")) == 5
    for answer in (sixth, seventh):
        trace = composite_llm.get_trace(answer)
        (skipped,) = trace.calls[0].attempts
        assert (skipped.status, skipped.error_class, skipped.usage.total_tokens) == ("failed", "BreakerOpen", 0)
        assert server.url.removeprefix("http://") in str(skipped.error)
        assert [reason.partition(":")[0] for reason in trace.degraded] == ["breaker_open", "member_missing"]
        assert trace.usage.total_tokens > 0


def test_what_is_open_can_be_read(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", DOWN)
    assert composite_llm.breakers() == []
    ask_times(ask, 4, proposers=[once(FIRST), SECOND])
    (state,) = composite_llm.breakers()
    assert (state.model, state.endpoint) == (FIRST, server.url.removeprefix("http://"))
    assert (state.state, state.failures, state.opens_again_in_s) == ("closed", 4, None)
    ask(proposers=[once(FIRST), SECOND])
    (state,) = composite_llm.breakers()
    assert (state.state, state.failures) == ("open", 5)
    assert state.opens_again_in_s == pytest.approx(30, abs=15)


def test_a_fallback_answers_in_the_place_of_an_open_one(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", DOWN)
    answers = ask_times(ask, 6, proposers=[once(FIRST, fallbacks=[THIRD]), SECOND])
    trace = composite_llm.get_trace(answers[-1])
    assert trace.calls[0].model == THIRD
    assert [reason.partition(":")[0] for reason in trace.degraded] == ["breaker_open", "fallback_used"]
    assert len(wire.records(server, "gpt-4.1-nano")) == 6


def test_the_final_models_breaker_is_told_as_the_reason_of_the_failure(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", DOWN)
    for _ in range(6):
        with pytest.raises(composite_llm.FinalCallFailed) as caught:
            ask(proposers=[FIRST], aggregator={"num_retries": 0})
    assert "not asked: its breaker is open" in str(caught.value)
    assert caught.value.status_code == 503
    assert len(wire.records(server, "gpt-4o")) == 5


async def test_a_streamed_final_call_goes_to_its_fallback(server: ThreadedServer) -> None:
    composite_llm.register(config={}, breaker={"failures": 1})
    server.set_scenario("gpt-4o", DOWN)
    final = {"num_retries": 0, "fallbacks": [SECOND]}
    for _ in range(2):
        last = await streamed(server, proposers=[FIRST], aggregator=final)
    assert last.trace.calls[-1].model == SECOND
    assert len(wire.records(server, "gpt-4o")) == 1
    assert "breaker_open" in last.reasoning or "its breaker is open" in last.reasoning


def test_after_its_time_one_probe_closes_it(ask: Ask, server: ThreadedServer) -> None:
    composite_llm.register(config={}, breaker={"failures": 2, "open_s": 0.0001})
    server.set_scenario("gpt-4o-mini", {"sequence": [DOWN, DOWN, {"text": "Back."}]})
    ask_times(ask, 2, proposers=[once(FIRST), SECOND])
    assert [state.state for state in composite_llm.breakers()] == ["half_open"]
    answer = ask(proposers=[once(FIRST), SECOND])
    assert composite_llm.get_trace(answer).degraded == []
    assert composite_llm.breakers() == []


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_a_model_that_says_no_is_not_down(status: int, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": status}})
    ask_times(ask, 6, proposers=[once(FIRST), SECOND])
    assert len(wire.records(server, "gpt-4o-mini")) == 6
    assert all(state.state == "closed" for state in composite_llm.breakers())


def test_another_endpoint_of_the_same_model_has_its_own(ask: Ask, server: ThreadedServer) -> None:
    composite_llm.register(config={}, breaker={"failures": 1})
    server.set_scenario("gpt-4o-mini", DOWN)
    ask(proposers=[once(FIRST), SECOND])
    elsewhere = {**at(server, FIRST), "api_base": server.base_url.replace("127.0.0.1", "localhost"), "num_retries": 0}
    trace = composite_llm.get_trace(ask(proposers=[elsewhere, SECOND]))
    assert trace.calls[0].attempts[0].error_class != "BreakerOpen"
    assert len({state.endpoint for state in composite_llm.breakers()}) == 2


def test_it_never_opens_when_the_application_says_so(ask: Ask, server: ThreadedServer) -> None:
    composite_llm.register(config={}, breaker={"open_s": 0})
    server.set_scenario("gpt-4o-mini", DOWN)
    ask_times(ask, 7, proposers=[once(FIRST), SECOND])
    assert len(wire.records(server, "gpt-4o-mini")) == 7


@pytest.mark.parametrize(
    ("settings", "named"), [({"failure": 3}, "breaker.failure"), ({"window_s": -1}, "breaker.window_s")], ids=str
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, float], named: str) -> None:
    with pytest.raises(composite_llm.InvalidOption, match=named):
        composite_llm.register(config={}, breaker=settings)


@pytest.fixture
def routed(server: ThreadedServer) -> Iterator[Callable[..., litellm.Router]]:
    """Registers a Router with these settings, whose name `pool` is the model gpt-4o-mini."""
    from composite_llm import runtime

    def made(**settings: Any) -> litellm.Router:
        deployed = {"model": FIRST, "api_base": server.base_url, "api_key": KEY}
        spare = {"model": THIRD, "api_base": server.base_url, "api_key": KEY}
        names = [{"model_name": "pool", "litellm_params": deployed}, {"model_name": "spare", "litellm_params": spare}]
        router = litellm.Router(model_list=names, **settings)
        composite_llm.register(config={}, router=router)
        return router

    yield made
    runtime.use_router(None)


def test_a_routers_own_retries_rule_its_names(
    routed: Callable[..., litellm.Router], ask: Ask, server: ThreadedServer
) -> None:
    routed(num_retries=2, retry_after=0, disable_cooldowns=True)
    server.set_scenario("gpt-4o-mini", DOWN)
    trace = composite_llm.get_trace(ask(proposers=[{"model": "pool", "num_retries": 5}, SECOND]))
    assert len(wire.records(server, "gpt-4o-mini")) == 3
    assert len(trace.calls[0].attempts) == 1
    assert composite_llm.breakers() == []


def test_a_routers_own_fallbacks_rule_its_names(
    routed: Callable[..., litellm.Router], ask: Ask, server: ThreadedServer
) -> None:
    routed(num_retries=0, fallbacks=[{"pool": ["spare"]}], disable_cooldowns=True)
    server.set_scenario("gpt-4o-mini", DOWN)
    trace = composite_llm.get_trace(ask(proposers=["pool", SECOND]))
    assert trace.degraded == []
    assert len(trace.calls[0].attempts) == 1
    assert len(wire.records(server, "gpt-4.1-nano")) == 1


def test_a_routers_names_have_no_breaker_however_often_they_fail(
    routed: Callable[..., litellm.Router], ask: Ask, server: ThreadedServer
) -> None:
    routed(num_retries=0, disable_cooldowns=True)
    composite_llm.register(config={}, breaker={"failures": 1})
    server.set_scenario("gpt-4o-mini", DOWN)
    ask_times(ask, 3, proposers=[once("pool"), SECOND])
    assert len(wire.records(server, "gpt-4o-mini")) == 3
    assert composite_llm.breakers() == []


def test_a_composite_is_never_skipped_itself(ask: Ask, server: ThreadedServer) -> None:
    composite_llm.register(config={}, breaker={"failures": 1})
    server.set_scenario("gpt-4.1-mini", DOWN)
    inner = at(server, f"composite/moa/{SECOND}", proposers=[THIRD], name="inner", aggregator={"num_retries": 0})
    for _ in range(2):
        litellm.completion(
            model=MOA,
            messages=MESSAGES,
            api_base=server.base_url,
            api_key=KEY,
            proposers=[{**inner, "num_retries": 0}, FIRST],
        )
    assert {state.model for state in composite_llm.breakers()} == {SECOND}
    assert len(wire.records(server, "gpt-4.1-mini")) == 1
    assert len(wire.records(server, "gpt-4.1-nano")) == 2


@pytest.fixture
def dead() -> dict[str, Any]:
    """An endpoint that nobody listens on."""
    with running_in_thread() as gone:
        return at(gone, FIRST)


def test_the_next_ones_are_told_what_opened_it(ask: Ask, dead: dict[str, Any]) -> None:
    composite_llm.register(config={}, breaker={"failures": 2})
    where = dead["api_base"].removeprefix("http://").removesuffix("/v1")
    for _ in range(2):
        ask(proposers=[{**dead, "num_retries": 0}, SECOND])
    answer = ask(proposers=[{**dead, "num_retries": 0}, SECOND])
    told = f"refused: connection refused at {where}, 2 times in "
    assert told in str(composite_llm.get_trace(answer).degraded)
    assert told in answer.choices[0].message.reasoning_content
    with pytest.raises(composite_llm.QuorumNotMet) as caught:
        ask(proposers=[{**dead, "num_retries": 0}])
    assert told in str(caught.value)
