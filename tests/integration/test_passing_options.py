"""The ways options reach a composite; each gives the same calls upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, KEY, MESSAGES, MOA, QUESTION, SECOND, THIRD, Ask

MOA_OPTIONS: dict[str, Any] = {
    "proposers": [FIRST, {"model": SECOND, "name": "doubter", "system": "Doubt.", "temperature": 0.3}],
    "layers": 2,
    "seed": 7,
    "aggregator": {"max_tokens": 50, "system": "Be brief."},
}
COUNCIL_OPTIONS: dict[str, Any] = {
    "members": [FIRST, SECOND, THIRD],
    "reviewers": [FIRST, {"model": SECOND, "temperature": 0.1}],
    "criteria": "brevity",
    "exclude_self": False,
    "seed": 11,
    "chairman": {"temperature": 0.4},
}
CASES = [
    pytest.param("moa", MOA, MOA_OPTIONS, id="moa"),
    pytest.param("council", COUNCIL, COUNCIL_OPTIONS, id="council"),
]
WAYS = ("keywords", "optional_params", "extra_body", "router deployment", "profile", "split")


@pytest.fixture
def same_answers(server: ThreadedServer) -> None:
    """Answers that do not hang on the run's random mark."""
    server.set_scenario("*", {"text": "An answer of {model}.", "by_content": [BALLOT]})


BALLOT = {"contains": "You are reviewing", "then": {"text": "FINAL RANKING: Response A > Response B > Response C"}}


def _send(
    way: str, model: str, strategy: str, options: dict[str, Any], ask: Ask, configure: Callable[[Any], None], base: str
) -> Any:
    match way:
        case "keywords":
            return ask(model, **options)
        case "optional_params":
            return ask(model, optional_params=options)
        case "extra_body":
            return ask(model, extra_body=options)
        case "split":
            halves = list(options.items())
            return ask(model, extra_body=dict(halves[:2]), **dict(halves[2:]))
        case "profile":
            configure({"profiles": {"mine": {"strategy": strategy, "model": FINAL, **options}}})
            return ask("composite/profile/mine")
        case "router deployment":
            connection = {"api_base": base, "api_key": KEY}
            router = litellm.Router(
                model_list=[{"model_name": "wise", "litellm_params": {"model": model, **connection, **options}}]
            )
            return router.completion(model="wise", messages=MESSAGES)
        case _:
            raise AssertionError(way)


@pytest.mark.usefixtures("same_answers")
@pytest.mark.parametrize(("strategy", "model", "options"), CASES)
@pytest.mark.parametrize("way", WAYS)
def test_options_work_the_same_as(
    way: str,
    strategy: str,
    model: str,
    options: dict[str, Any],
    ask: Ask,
    configure: Callable[[Any], None],
    server: ThreadedServer,
) -> None:
    _send("keywords", model, strategy, options, ask, configure, server.base_url)
    expected = wire.signature(server)
    server.ledger.clear()
    answer = _send(way, model, strategy, options, ask, configure, server.base_url)
    assert wire.signature(server) == expected
    names = [call.name for call in composite_llm.get_trace(answer).calls]
    assert ("doubter" in names) == (strategy == "moa")


@pytest.mark.usefixtures("same_answers")
def test_a_request_overrides_its_deployment_which_overrides_the_profile(
    configure: Callable[[Any], None], server: ThreadedServer
) -> None:
    configure({"profiles": {"p": {"strategy": "moa", "model": FINAL, "samples": 2, "layers": 2, "reasoning": "off"}}})
    deployed = {"model": "composite/profile/p", "api_base": server.base_url, "api_key": KEY, "layers": 1, "samples": 4}
    router = litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}])
    answer: Any = router.completion(model="wise", messages=MESSAGES, samples=1)
    assert wire.models(server) == ["gpt-4o", "gpt-4o"]
    assert getattr(answer.choices[0].message, "reasoning_content", None) is None


@pytest.mark.usefixtures("same_answers")
def test_what_is_not_ours_in_extra_body_goes_to_the_final_call_alone_and_ours_never_travels(
    ask: Ask, server: ThreadedServer
) -> None:
    ask(extra_body={"proposers": [FIRST], "vendor_switch": True})
    assert wire.params(server, "gpt-4o-mini") == {}
    assert wire.params(server, "gpt-4o") == {"vendor_switch": True}


@pytest.mark.usefixtures("same_answers")
def test_no_option_ever_travels_upstream(ask: Ask, server: ThreadedServer) -> None:
    options = {
        "proposers": [FIRST], "layers": 1, "quorum": 1, "straggler_grace_s": 5.0, "stage_timeout_s": 30.0,
        "max_cost_usd": 5.0, "max_calls": 9, "max_parallel": 3, "fanout": "every_call", "max_tool_rounds": 2,
        "on_final_failure": "best", "allow_unpriced": True, "validate_output": False, "reasoning": "full",
        "reference_placement": "system", "samples": 2, "tool_executor": lambda name, arguments: None,
    }  # fmt: skip
    ask(**options)
    assert [wire.params(server, model) for model in ("gpt-4o-mini", "gpt-4o")] == [{}, {}]


@pytest.mark.usefixtures("same_answers")
def test_the_provider_may_be_named_apart_from_the_model(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(f"moa/{FINAL}", custom_llm_provider="composite", proposers=[FIRST])
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o"]
    assert composite_llm.get_trace(answer).model == MOA


@pytest.mark.usefixtures("same_answers")
def test_a_model_string_with_more_slashes_arrives_whole(ask: Ask, server: ThreadedServer) -> None:
    answer = ask("composite/moa/openai/meta-llama/Llama-4/x:free", proposers=[FIRST])
    assert wire.models(server) == ["gpt-4o-mini", "meta-llama/Llama-4/x:free"]
    assert answer.model == "composite/moa/openai/meta-llama/Llama-4/x:free"


@pytest.mark.usefixtures("same_answers")
@pytest.mark.parametrize("way", ["aggregator", "profile aggregator"])
def test_the_aggregators_own_model_replaces_the_one_in_the_model_string(
    way: str, ask: Ask, server: ThreadedServer, configure: Callable[[Any], None]
) -> None:
    if way == "aggregator":
        ask(proposers=[FIRST], aggregator={"model": SECOND})
    else:
        configure({"profiles": {"p": {"strategy": "moa", "proposers": [FIRST], "aggregator": SECOND}}})
        ask("composite/profile/p")
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4.1-mini"]


@pytest.mark.usefixtures("same_answers")
def test_the_callers_messages_and_options_are_left_as_they_were(ask: Ask) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}]}
    ]
    options = {"proposers": [{"model": FIRST, "system": "Think."}], "layers": 2}
    before = repr((messages, options))
    ask(messages=messages, **options)
    assert repr((messages, options)) == before
