"""A key that is not set, a provider that LiteLLM does not know: told before anybody is asked, and never where a call would work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

import composite_llm
from composite_llm.backend.interface import AttemptRequest
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.model.errors import AttemptFailed
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask, at
from tests.support.played_server import Played, played_server

VARIABLES_OF = {
    "anthropic": ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
    "cerebras": ["CEREBRAS_API_KEY"],
    "cohere": ["COHERE_API_KEY", "CO_API_KEY"],
    "cohere_chat": ["COHERE_API_KEY", "CO_API_KEY"],
    "dashscope": ["DASHSCOPE_API_KEY"],
    "deepinfra": ["DEEPINFRA_API_KEY"],
    "deepseek": ["DEEPSEEK_API_KEY"],
    "fireworks_ai": ["FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"],
    "gemini": ["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    "groq": ["GROQ_API_KEY"],
    "mistral": ["MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"],
    "moonshot": ["MOONSHOT_API_KEY"],
    "nebius": ["NEBIUS_API_KEY"],
    "novita": ["NOVITA_API_KEY"],
    "nvidia_nim": ["NVIDIA_NIM_API_KEY"],
    "openai": ["OPENAI_API_KEY"],
    "openrouter": ["OPENROUTER_API_KEY", "OR_API_KEY"],
    "perplexity": ["PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"],
    "sambanova": ["SAMBANOVA_API_KEY"],
    "together_ai": ["TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"],
    "xai": ["XAI_API_KEY"],
}
"""What LiteLLM reads the key of each provider from."""


def refusal(model: str, **options: Any) -> composite_llm.CompositeError:
    with pytest.raises(composite_llm.CompositeError) as caught:
        litellm.completion(model=model, messages=MESSAGES, **options)
    return caught.value


@pytest.mark.parametrize("asked", VARIABLES_OF)
def test_a_final_model_without_a_key_is_told_by_the_variable_to_set_and_nobody_is_asked_for_advice(
    asked: str, server: ThreadedServer
) -> None:
    for strategy, members in (("moa", "proposers"), ("council", "members")):
        error = refusal(
            f"composite/{strategy}/{asked}/some-model", **{members: [at(server, FIRST), at(server, SECOND)]}
        )
        assert f"{VARIABLES_OF[asked][0]} is not set" in str(error)
    assert error.status_code == 502
    assert server.ledger.records == []


def test_a_stream_is_refused_at_the_call(server: ThreadedServer) -> None:
    assert "OPENAI_API_KEY is not set" in str(refusal(MOA, proposers=[at(server, FIRST)], stream=True))
    assert server.ledger.records == []


def test_a_final_model_at_an_address_of_its_own_that_openais_sdk_asks_is_told_too(server: ThreadedServer) -> None:
    error = refusal(MOA, proposers=[at(server, FIRST)], aggregator={"api_base": server.base_url})
    assert "OPENAI_API_KEY is not set" in str(error)
    assert server.ledger.records == []


def test_a_fallback_with_a_key_answers_and_so_does_the_best_member(server: ThreadedServer) -> None:
    with_fallback = litellm.completion(
        model=MOA, messages=MESSAGES, proposers=[at(server, FIRST)], aggregator={"fallbacks": [at(server, SECOND)]}
    )
    assert "OPENAI_API_KEY is not set" in str(composite_llm.get_trace(with_fallback).calls[-1].attempts[0].error)
    best = litellm.completion(model=MOA, messages=MESSAGES, proposers=[at(server, FIRST)], on_final_failure="best")
    assert any("final_failed" in reason for reason in composite_llm.get_trace(best).degraded)


def test_a_member_without_a_key_is_missing_and_is_not_asked(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(COUNCIL, members=["groq/llama-3.1-8b-instant", FIRST, SECOND])
    missing = [reason for reason in composite_llm.get_trace(answer).degraded if reason.startswith("member_missing")]
    assert "GROQ_API_KEY is not set" in missing[0]
    assert not any(record.model == "llama-3.1-8b-instant" for record in server.ledger.records)


def test_members_that_all_lack_their_keys_say_which(server: ThreadedServer) -> None:
    error = refusal(MOA, proposers=["groq/a", "mistral/b"], aggregator={"api_base": server.base_url, "api_key": KEY})
    assert isinstance(error, composite_llm.QuorumNotMet)
    assert error.status_code == 502
    assert "groq/a: not asked: GROQ_API_KEY is not set" in str(error)
    assert "mistral/b: not asked: MISTRAL_API_KEY is not set" in str(error)
    assert server.ledger.records == []


@pytest.mark.parametrize("model", ["azure/gpt-4o", "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0", "zai/glm-4.6"])
def test_who_is_authorized_in_more_ways_than_one_finds_out_itself_and_no_provider_is_blamed(
    model: str, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = refusal(f"composite/moa/{model}")
    assert "not asked: no key is set" in str(error)
    assert error.status_code == 502


@pytest.mark.parametrize(
    ("asked", "variable"), [(asked, name) for asked, names in VARIABLES_OF.items() for name in names]
)
async def test_litellm_reads_each_variable_that_counts_as_a_key(
    asked: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "sk-of-the-environment")
    assert LiteLLMFacts().missing_key(f"{asked}/some-model", {}) is None
    async with played_server() as played:
        played.plays = Played(status=400)
        with pytest.raises(Exception, match=r"."):
            await litellm.acompletion(
                model=f"{asked}/some-model", messages=MESSAGES, api_base=played.base_url, max_retries=0
            )
    assert any("sk-of-the-environment" in value for _, value in played.asked[0].headers)


@pytest.mark.parametrize("asked", VARIABLES_OF)
def test_litellms_own_check_agrees_where_it_knows_the_provider(asked: str) -> None:
    told = litellm.validate_environment(f"{asked}/some-model")["missing_keys"]
    assert not told or set(told) & set(VARIABLES_OF[asked])


class _Hook(CustomLogger):
    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
        return {**kwargs, "api_key": KEY}


@pytest.mark.parametrize(
    "setting",
    [
        {"api_key": KEY},
        {"openai_key": KEY},
        {"secret_manager_client": object()},
        {"callbacks": [_Hook()]},
    ],
    ids=["for all", "for openai", "secret manager", "hook"],
)
def test_a_key_that_is_set_elsewhere_counts(setting: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = LiteLLMFacts()
    assert facts.missing_key(FINAL, {}) == "OPENAI_API_KEY"
    for name, value in setting.items():
        monkeypatch.setattr(litellm, name, value)
    assert facts.missing_key(FINAL, {}) is None


@pytest.mark.parametrize(
    "params",
    [
        {"api_key": KEY},
        {"headers": {"Authorization": "Bearer x"}},
        {"extra_headers": {"Authorization": "Bearer x"}},
        {"litellm_credential_name": "mine"},
        {"mock_response": "hello"},
        {"custom_llm_provider": "hosted_vllm"},
    ],
    ids=lambda params: next(iter(params)),
)
def test_a_call_that_is_authorized_in_another_way_is_sent(params: Mapping[str, Any]) -> None:
    assert LiteLLMFacts().missing_key(FINAL, params) is None


@pytest.mark.parametrize("asked", [name for name in VARIABLES_OF if name != "openai"])
def test_an_address_of_the_users_own_may_be_a_gateway_that_has_the_key(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, model = LiteLLMFacts(), f"{asked}/some-model"
    assert facts.missing_key(model, {"api_base": "http://127.0.0.1:9"}) is None
    assert facts.missing_key(model, {}) == VARIABLES_OF[asked][0]
    monkeypatch.setattr(litellm, "api_base", "http://127.0.0.1:9")
    assert facts.missing_key(model, {}) is None


@pytest.mark.parametrize("model", ["hosted_vllm/qwen", "lm_studio/gemma", "llamafile/llava"])
async def test_servers_of_ones_own_need_no_key(model: str, server: ThreadedServer) -> None:
    backend = LiteLLMBackend(LiteLLMFacts())
    assert (await backend.complete(AttemptRequest(model, MESSAGES, {"api_base": server.base_url}))).message["content"]


async def test_an_attempt_without_a_key_is_not_sent(server: ThreadedServer) -> None:
    backend = LiteLLMBackend(LiteLLMFacts())
    request = AttemptRequest("groq/some-model", MESSAGES)
    with pytest.raises(AttemptFailed) as plain:
        await backend.complete(request)
    with pytest.raises(AttemptFailed) as streamed:
        async for _ in backend.stream(request):
            pass
    assert plain.value.failure == streamed.value.failure
    assert plain.value.failure.kind == "authentication"


NODES = [
    ({"proposers": ["opnai/gpt-4o", FIRST]}, "openai/gpt-4o"),
    (
        {"proposers": [FIRST, {"model": SECOND, "fallbacks": ["antropic/claude-sonnet-4-5"]}]},
        "anthropic/claude-sonnet-4-5",
    ),
    ({"aggregator": {"model": "gpt-4oo"}}, "gpt-4o"),
    ({"proposers": ["composite/moa/gorq/llama-3.1-8b-instant"]}, "groq/llama-3.1-8b-instant"),
]


@pytest.mark.parametrize(("options", "near"), NODES, ids=["proposer", "fallback", "bare name", "nested"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_nobody_answers_for_is_a_400_with_near_names_before_any_call(
    options: Mapping[str, Any], near: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    with pytest.raises(composite_llm.InvalidOption) as caught:
        ask(MOA, **options, stream=stream)
    assert caught.value.status_code == 400
    assert repr(near) in str(caught.value)
    assert server.ledger.records == []


@pytest.mark.parametrize(
    "node",
    [
        {"model": "some-model", "custom_llm_provider": "openai"},
        {"model": "mine/some-model"},
    ],
    ids=["provider named", "custom provider"],
)
def test_whatever_litellm_can_place_is_asked(
    node: dict[str, Any], ask: Ask, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(litellm.CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> litellm.ModelResponse:
            choice = {"message": {"role": "assistant", "content": "mine"}, "finish_reason": "stop", "index": 0}
            return litellm.ModelResponse(choices=[choice])

    mine: Any = {"provider": "mine", "custom_handler": Mine()}
    monkeypatch.setattr(litellm, "custom_provider_map", [*litellm.custom_provider_map, mine])
    answer = ask(MOA, proposers=[{**node, "api_base": server.base_url, "api_key": KEY}])
    assert list(composite_llm.get_trace(answer).degraded) == []


def test_names_of_the_router_are_near_names_too(ask: Ask, server: ThreadedServer) -> None:
    params = {"model": FIRST, "api_base": server.base_url, "api_key": KEY}
    composite_llm.register(router=litellm.Router(model_list=[{"model_name": "clever", "litellm_params": params}]))
    try:
        with pytest.raises(composite_llm.InvalidOption, match="nearest: 'clever'"):
            ask(MOA, proposers=["clevr"])
        ask(MOA, proposers=["clever"])
    finally:
        composite_llm.register()
    assert len(wire.models(server)) == 2


def test_a_key_that_came_with_the_request_reaches_the_final_model_of_a_nested_composite(
    ask: Ask, server: ThreadedServer
) -> None:
    ask(f"composite/moa/{MOA}", proposers=[at(server, FIRST)])
    assert wire.models(server)[-1] == "gpt-4o"


def test_a_composite_around_may_give_the_key(server: ThreadedServer) -> None:
    inner = at(server, MOA, proposers=[at(server, FIRST)])
    litellm.completion(model=MOA, messages=MESSAGES, proposers=[inner], aggregator={**inner, "proposers": [inner]})
    assert wire.models(server).count("gpt-4o") >= 2
