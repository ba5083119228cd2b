"""LiteLLM's own `fallbacks` around a composite: who answers in its place is not sent the composite's options."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from anyio.from_thread import BlockingPortal

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, Ask, asking, through

INSTEAD = "openai/gpt-4.1"
FINAL_ONCE = {"aggregator": {"num_retries": 0}}
OPTIONS: dict[str, dict[str, Any]] = {
    "nodes with keys": {"proposers": [{"model": FIRST, "api_key": "sk-NODE-CANARY", "api_base": "HERE"}], **FINAL_ONCE},
    "plain options": {"samples": 1, "max_cost_usd": 1.0, "reasoning": "off", "quorum": 1, **FINAL_ONCE},
    "extra_body": {"extra_body": {"samples": 1, **FINAL_ONCE}},
    "optional_params": {"optional_params": {"samples": 1, **FINAL_ONCE}},
    "an executor": {"samples": 1, "tool_executor": {"f": print}, **FINAL_ONCE},
}


def options_at(server: ThreadedServer, name: str) -> dict[str, Any]:
    options = dict(OPTIONS[name])
    if "proposers" in options:
        options["proposers"] = [{**node, "api_base": server.base_url} for node in options["proposers"]]
    return options


@pytest.fixture
def ask(server: ThreadedServer, portal: BlockingPortal) -> Ask:
    """On a loop that lasts: for a synchronous call with fallbacks LiteLLM makes one and leaves its tasks behind."""
    return asking(server, through(portal))


@pytest.fixture(autouse=True)
def _the_final_model_is_down(server: ThreadedServer, no_cached_answers: None) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 500}})
    server.set_scenario("gpt-4.1", {"text": "instead"})


@pytest.mark.parametrize("options", OPTIONS)
def test_a_fallback_at_the_call_gets_the_callers_parameters_and_none_of_our_options(
    options: str, ask: Ask, server: ThreadedServer
) -> None:
    answer = ask(fallbacks=[INSTEAD], temperature=0.5, seed=7, **options_at(server, options))
    assert answer.choices[0].message.content == "instead"
    assert wire.params(server, "gpt-4.1") == {"temperature": 0.5, "seed": 7}
    assert "CANARY" not in str(wire.body(server, "gpt-4.1"))


def test_several_fallbacks_one_after_the_other(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"error": {"status": 500}})
    other = {"model": "openai/gpt-4.1-mini", "max_retries": 0}
    answer = ask(fallbacks=[other, INSTEAD], **options_at(server, "nodes with keys"))
    assert answer.choices[0].message.content == "instead"
    assert all("proposers" not in record.body for record in server.ledger.records)


def test_a_composite_as_the_fallback_keeps_the_options(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(fallbacks=["composite/moa/openai/gpt-4.1"], **options_at(server, "nodes with keys"))
    assert answer.choices[0].message.content == "instead"
    assert "gpt-4o-mini" in wire.models(server)


def router_at(server: ThreadedServer) -> litellm.Router:
    connection = {"api_base": server.base_url, "api_key": KEY}
    return litellm.Router(
        model_list=[
            {"model_name": "wise", "litellm_params": {"model": MOA, **connection}},
            {"model_name": "plain", "litellm_params": {"model": INSTEAD, **connection}},
        ],
        fallbacks=[{"wise": ["plain"]}],
        num_retries=0,
    )


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_routers_fallback(asynchronous: bool, options: str, server: ThreadedServer, portal: BlockingPortal) -> None:
    router, given = router_at(server), {"temperature": 0.5, **options_at(server, options)}

    async def asked() -> Any:
        return await router.acompletion("wise", MESSAGES, **given)

    answer: Any = portal.call(asked) if asynchronous else router.completion("wise", MESSAGES, **given)
    assert answer.choices[0].message.content == "instead"
    assert wire.params(server, "gpt-4.1") == {"temperature": 0.5}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_routers_fallback_answers_a_stream_before_which_nothing_came(
    asynchronous: bool, server: ThreadedServer, portal: BlockingPortal
) -> None:
    router = router_at(server)
    given = {**options_at(server, "nodes with keys"), "reasoning": "off", "stream": True}

    async def asked() -> list[Any]:
        return [chunk async for chunk in await router.acompletion("wise", MESSAGES, **given)]

    chunks: list[Any] = portal.call(asked) if asynchronous else list(router.completion("wise", MESSAGES, **given))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "instead"
    assert "CANARY" not in str(wire.body(server, "gpt-4.1"))
    assert set(wire.params(server, "gpt-4.1")) <= {"stream", "stream_options"}


def test_a_stream_that_has_begun_has_no_fallback(server: ThreadedServer) -> None:
    given = options_at(server, "nodes with keys")
    with pytest.raises(composite_llm.FinalCallFailed):
        list(router_at(server).completion("wise", MESSAGES, stream=True, **given))
    assert "gpt-4.1" not in wire.models(server)


def test_a_call_of_its_own_keeps_parameters_of_such_names(server: ThreadedServer, portal: BlockingPortal) -> None:
    async def asked() -> Any:
        return await litellm.acompletion(
            INSTEAD, MESSAGES, api_base=server.base_url, api_key=KEY, reasoning={"effort": "low"}, members=["a"]
        )

    portal.call(asked)
    assert wire.params(server, "gpt-4.1") == {"reasoning": {"effort": "low"}, "members": ["a"]}


def test_a_nodes_own_parameter_of_such_a_name_travels(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL.replace("gpt-4o", "gpt-4.1"), members=[{"model": FIRST, "ranking": "provider's own"}], criteria="x")
    assert {record.body.get("ranking") for record in wire.records(server, "gpt-4o-mini")} == {"provider's own"}
