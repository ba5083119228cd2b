"""Retries around a whole composite: what already answered is not asked, and not paid, again."""

from __future__ import annotations

from functools import partial
from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask
from tests.support.listening import listening

DOWN = {"error": {"status": 503}}
ONCE = {"num_retries": 0}


@pytest.fixture(autouse=True)
def _nothing_left(no_cached_answers: None) -> None:
    composite_llm.reset_breakers()


def router(server: ThreadedServer, model: str = MOA, **options: Any) -> litellm.Router:
    deployed = {"model": model, "api_base": server.base_url, "api_key": KEY, **options}
    return litellm.Router(
        model_list=[{"model_name": "wise", "litellm_params": deployed}],
        num_retries=2,
        retry_after=0,
        disable_cooldowns=True,
    )


def asked(router: litellm.Router, portal: BlockingPortal) -> litellm.ModelResponse:
    answer = portal.call(partial(router.acompletion, model="wise", messages=MESSAGES))
    assert isinstance(answer, litellm.ModelResponse)
    return answer


def tokens_heard(heard: Any) -> int:
    return sum(event.standard["total_tokens"] for event in heard if event.is_composite)


SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND], "aggregator": ONCE}),
    "council": (COUNCIL, {"members": [FIRST, SECOND], "chairman": ONCE}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_routers_retry_asks_only_the_final_model_again(
    shape: str, server: ThreadedServer, portal: BlockingPortal
) -> None:
    model, options = SHAPES[shape]
    server.set_scenario("gpt-4o", {"sequence": [DOWN, {"text": "At last."}]})
    with listening() as listener:
        answer = asked(router(server, model, **options), portal)
        rounds = 1 if shape == "moa" else 2
        assert len(wire.records(server, "gpt-4o-mini")) == rounds
        assert len(wire.records(server, "gpt-4.1-mini")) == rounds
        assert len(wire.records(server, "gpt-4o")) == 2
        assert answer.choices[0].message.content == "At last."
        heard = listener.wait(lambda heard: sum(event.is_composite for event in heard) == 2)
    # The failed run told what its members cost, the repeat only its final call: together it is what the server counted.
    trace = composite_llm.get_trace(answer)
    final = wire.records(server, "gpt-4o")[1].usage
    assert final is not None
    assert trace.usage.total_tokens == final["total_tokens"]
    assert tokens_heard(heard) == wire.tokens(server)["total_tokens"]


def test_two_failures_are_two_repeats_of_the_final_call_alone(server: ThreadedServer, portal: BlockingPortal) -> None:
    server.set_scenario("gpt-4o", {"sequence": [DOWN, DOWN, {"text": "At last."}]})
    with listening() as listener:
        answer = asked(router(server, **SHAPES["moa"][1]), portal)
        heard = listener.wait(lambda heard: sum(event.is_composite for event in heard) == 3)
    assert [len(wire.records(server, name)) for name in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")] == [1, 1, 3]
    assert answer.choices[0].message.content == "At last."
    assert tokens_heard(heard) == wire.tokens(server)["total_tokens"]


@pytest.mark.parametrize("shape", SHAPES)
def test_litellms_own_retries_do_the_same(shape: str, ask_both: Ask, server: ThreadedServer) -> None:
    model, options = SHAPES[shape]
    server.set_scenario("gpt-4o", {"sequence": [DOWN, {"text": "At last."}]})
    answer = ask_both(model, num_retries=2, **options)
    rounds = 1 if shape == "moa" else 2
    asked = [len(wire.records(server, name)) for name in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")]
    assert asked == [rounds, rounds, 2]
    assert answer.choices[0].message.content == "At last."


def test_the_repeats_prompt_is_the_same_to_the_byte(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [DOWN, {"text": "At last."}]})
    ask(num_retries=1, **SHAPES["council"][1], model=COUNCIL)
    first, second = wire.records(server, "gpt-4o")
    assert first.body == second.body


def test_who_failed_is_asked_again_and_who_answered_is_not(ask: Ask, server: ThreadedServer) -> None:
    # Late enough that the other one has answered: a quorum that cannot be met any more ends the stage at once.
    server.set_scenario("gpt-4o-mini", {"sequence": [{**DOWN, "latency_s": 1.0}, {"text": "Back."}]})
    ask(num_retries=1, quorum=2, proposers=[{"model": FIRST, "num_retries": 0}, SECOND])
    assert [len(wire.records(server, name)) for name in ("gpt-4o-mini", "gpt-4.1-mini", "gpt-4o")] == [2, 1, 1]


@pytest.mark.parametrize(
    "changed", [{"temperature": 0.5}, {"messages": [{"role": "user", "content": "Another."}]}], ids=str
)
def test_another_request_is_answered_afresh(changed: dict[str, Any], ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [DOWN, {"text": "At last."}]})
    with pytest.raises(composite_llm.FinalCallFailed):
        ask(**SHAPES["moa"][1])
    ask(**{**SHAPES["moa"][1], **changed})
    assert len(wire.records(server, "gpt-4o-mini")) == 2


def test_a_final_nodes_own_retries_are_the_better_way(ask: Ask, server: ThreadedServer) -> None:
    busy = {"error": {"status": 429, "retry_after": 0}}
    server.set_scenario("gpt-4o", {"sequence": [busy, {"text": "At last."}]})
    answer = ask(proposers=[FIRST], aggregator={"num_retries": 1})
    assert len(composite_llm.get_trace(answer).calls[-1].attempts) == 2
    assert len(wire.records(server, "gpt-4o-mini")) == 1


def test_a_rate_limited_run_still_tells_what_it_spent(server: ThreadedServer, portal: BlockingPortal) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 429}})
    with listening() as listener:
        with pytest.raises(litellm.RateLimitError):
            asked(router(server, proposers=[FIRST], aggregator=ONCE), portal)
        heard = listener.wait(lambda heard: sum(event.is_composite for event in heard) == 3)
    assert sum(event.standard.get("total_tokens", 0) for event in heard if event.is_composite) > 0


FAILURES: dict[str, dict[str, Any]] = {
    **{str(status): {"error": {"status": status}} for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 503)},
    "too long": {"error": {"context_window": True}},
    "refused": {"error": {"status": 400, "code": "content_policy_violation"}},
    "unreadable": {"malformed_json": True},
    "dropped": {"drop": "before"},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_the_final_call_failed_with_the_same_request_asks_only_it_again(
    failure: str, streamed: bool, ask: Ask, server: ThreadedServer
) -> None:
    model, options = SHAPES["council"]
    # A context that is too long is tried once more by ourselves, with shorter answers.
    server.set_scenario("gpt-4o", FAILURES[failure])
    with pytest.raises(Exception, match="final call failed"):
        list(ask(model, stream=streamed, **options))
    server.ledger.clear()
    server.set_scenario("gpt-4o", {"text": "At last."})
    composite_llm.reset_breakers()
    answer = ask(model, **options)
    assert answer.choices[0].message.content == "At last."
    assert wire.models(server) == ["gpt-4o"]
