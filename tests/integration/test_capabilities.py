"""What LiteLLM, and frameworks that ask it, believe a composite can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest

from tests.support.asking import FINAL, FIRST
from tests.support.interpreter import run_program

# No test deploys these in a Router, which in LiteLLM 1.94 writes an entry of its own for what it deploys.
MOA = "composite/moa/openai/gpt-4.1"
COUNCIL = "composite/council/openai/gpt-4.1"
SMALL = "openai/window-of-5000"


@pytest.fixture(autouse=True)
def _a_model_with_a_small_window(provider: None) -> Iterator[None]:
    litellm.register_model(
        {
            SMALL: {
                "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 5000, "max_output_tokens": 700,
                "input_cost_per_token": 0.0, "output_cost_per_token": 0.0,
            }
        }
    )  # fmt: skip
    yield
    litellm.model_cost.pop(SMALL, None)


@pytest.fixture
def profiles(configure: Callable[[Any], None]) -> None:
    configure(
        {
            "profiles": {
                "plain": {"strategy": "moa", "model": FINAL, "proposers": [FIRST]},
                "narrow": {"strategy": "moa", "model": FINAL, "proposers": [FIRST, SMALL]},
                "stated": {"strategy": "moa", "model": FINAL, "proposers": [{"model": FIRST, "context_window": 3000}]},
                "fallback": {"strategy": "moa", "model": FINAL, "proposers": [{"model": FIRST, "fallbacks": [SMALL]}]},
                "council": {"strategy": "council", "model": SMALL, "members": [FIRST]},
            }
        }
    )


FLAGS = ("supports_function_calling", "supports_response_schema", "supports_parallel_function_calling")
PROFILES = [f"composite/profile/{name}" for name in ("plain", "narrow", "council")]


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("model", [MOA, COUNCIL, "composite/moa/nobody/knows-this", *PROFILES])
@pytest.mark.parametrize("flag", FLAGS)
def test_litellm_says_yes_to(flag: str, model: str) -> None:
    # LiteLLM 1.94 has no place for `supports_parallel_function_calling` in an entry.
    assert getattr(litellm, flag)(model=model) is (flag in litellm.get_model_info(model))


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("model", [MOA, COUNCIL, *PROFILES])
def test_a_composite_has_an_entry_of_an_ordinary_chat_model(model: str) -> None:
    info: Any = litellm.get_model_info(model)
    assert info["litellm_provider"] == "composite"
    assert info["mode"] == "chat"
    assert info["max_input_tokens"] > 0
    assert info["max_output_tokens"] > 0
    assert info["supports_tool_choice"] is True


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("profile", "window"),
    [("plain", 128_000), ("narrow", 5000), ("stated", 3000), ("fallback", 5000), ("council", 5000)],
)
def test_a_profiles_window_is_the_smallest_of_its_nodes(profile: str, window: int) -> None:
    assert litellm.get_model_info(f"composite/profile/{profile}")["max_input_tokens"] == window


@pytest.mark.usefixtures("profiles")
def test_the_longest_answer_is_the_final_models() -> None:
    final = litellm.get_model_info(FINAL)["max_output_tokens"]
    assert litellm.get_model_info("composite/profile/narrow")["max_output_tokens"] == final
    assert litellm.get_model_info("composite/profile/council")["max_output_tokens"] == 700


@pytest.mark.usefixtures("profiles")
def test_vision_is_what_the_final_model_can() -> None:
    assert litellm.supports_vision("composite/profile/plain") is litellm.supports_vision(FINAL) is True
    assert litellm.supports_vision("composite/profile/council") is False


OPEN_NAMES = [
    "openai/gpt-4o",
    "openai/gpt-3.5-turbo",
    "openai/o3",
    "anthropic/claude-haiku-4-5",
    "gemini/gemini-2.5-pro",
    "deepseek/deepseek-reasoner",
]
FOLLOWED = ("supports_vision", "supports_pdf_input", "supports_audio_input", "supports_reasoning")


@pytest.mark.parametrize("strategy", ["moa", "council", "moa/composite/council"])
@pytest.mark.parametrize("model", OPEN_NAMES)
def test_an_open_ended_name_can_what_its_model_can(model: str, strategy: str) -> None:
    name = f"composite/{strategy}/{model}"
    followed = {flag: getattr(litellm.utils, flag)(model) for flag in FOLLOWED}
    assert {flag: getattr(litellm.utils, flag)(name) for flag in FOLLOWED} == followed
    mine, models = litellm.get_model_info(name), litellm.get_model_info(*_bare(model))
    assert (mine["max_input_tokens"], mine["max_output_tokens"]) == (
        models["max_input_tokens"], models["max_output_tokens"],
    )  # fmt: skip
    assert litellm.get_max_tokens(name) == models["max_output_tokens"]


def _bare(model: str) -> tuple[str, str]:
    bare, provider, _, _ = litellm.get_llm_provider(model)
    return bare, provider


@pytest.mark.parametrize("model", ["composite/moa/nobody/knows-this", "composite/council/ollama_chat/nobody-knows"])
def test_of_a_model_that_nobody_knows_no_helper_raises(model: str) -> None:
    assert litellm.get_max_tokens(model) > 0
    assert litellm.supports_vision(model) is False
    assert litellm.get_model_info(model)["max_input_tokens"] == 128_000
    assert litellm.supports_function_calling(model) is litellm.supports_response_schema(model) is True


def test_what_is_no_composite_is_not_in_the_table(provider: None) -> None:
    for name in ("composite/nonsense/openai/gpt-4o", "composite/profile/none", "composite/", "nobody/knows"):
        assert name not in litellm.model_cost
        assert litellm.model_cost.get(name) is None
        with pytest.raises(KeyError):
            litellm.model_cost[name]


def test_an_open_ended_name_follows_what_is_registered_later(provider: None) -> None:
    name = "composite/moa/openai/known-later"
    assert litellm.model_cost[name]["max_input_tokens"] == 128_000
    row = {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 77, "max_output_tokens": 7}
    litellm.register_model({"openai/known-later": {**row, "supports_vision": True}})
    try:
        assert litellm.get_model_info(name)["max_input_tokens"] == 77
        assert litellm.supports_vision(name) is True
        litellm.register_model({"openai/known-later": {**row, "max_input_tokens": 78}})
        assert litellm.model_cost[name]["max_input_tokens"] == 78
    finally:
        litellm.model_cost.pop("openai/known-later")


def test_the_table_holds_no_rows_that_were_only_asked_for(provider: None) -> None:
    assert "composite/moa/openai/o3" in litellm.model_cost
    assert "composite/moa/openai/o3" not in list(litellm.model_cost)


def test_messages_are_trimmed_to_the_window(provider: None) -> None:
    messages = [{"role": "user", "content": "word " * 40_000}]
    trimmed = litellm.utils.trim_messages(messages, model="composite/moa/openai/gpt-3.5-turbo")
    window = litellm.model_cost["gpt-3.5-turbo"]["max_input_tokens"]
    assert 0 < litellm.token_counter(model="gpt-3.5-turbo", messages=trimmed) <= window


def test_a_profile_says_whether_its_final_model_takes_tools_and_schemas(configure: Callable[[Any], None]) -> None:
    models = {"able": "openai/gpt-4o", "schemas": "openai/gpt-3.5-turbo", "neither": "perplexity/sonar"}
    configure({"profiles": {name: {"strategy": "moa", "model": m, "proposers": [FIRST]} for name, m in models.items()}})
    said = {
        name: (
            litellm.supports_function_calling(f"composite/profile/{name}"),
            litellm.supports_response_schema(f"composite/profile/{name}"),
        )
        for name in models
    }
    assert said == {"able": (True, True), "schemas": (True, False), "neither": (False, False)}


def test_models_named_beforehand_are_listed_with_their_options(provider: None) -> None:
    import composite_llm

    narrow = {"model": "composite/moa/openai/gpt-4.1", "proposers": [SMALL]}
    composite_llm.register(models=["composite/council/openai/gpt-4o", narrow])
    try:
        assert {"composite/council/openai/gpt-4o", narrow["model"]} <= set(litellm.model_cost)
        assert litellm.get_model_info("composite/moa/openai/gpt-4.1")["max_input_tokens"] == 5000
    finally:
        for name in ("composite/council/openai/gpt-4o", "composite/moa/openai/gpt-4.1"):
            litellm.model_cost.pop(name)
        litellm.register_model({})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("openai/gpt-4o", "models"),
        ({"proposers": []}, "models"),
        ("composite/nonsense/openai/gpt-4o", "nonsense"),
        ({"model": "composite/moa/openai/gpt-4o", "proposrs": []}, "proposrs"),
    ],
)
def test_a_wrong_model_named_beforehand_is_refused(provider: None, wrong: Any, named: str) -> None:
    import composite_llm

    with pytest.raises(composite_llm.CompositeError, match=named):
        composite_llm.register(models=[wrong])


def test_where_litellm_loads_another_table_registering_again_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    import composite_llm

    monkeypatch.setattr(litellm, "model_cost", dict(litellm.model_cost))
    name = "composite/moa/openai/gpt-4.1-mini"
    assert name not in litellm.model_cost
    # LiteLLM's own rule for names that it does not have still says that it is a chat model with tools.
    assert litellm.supports_function_calling(name) is True
    composite_llm.register()
    assert litellm.model_cost[name]["supports_vision"] is True


@pytest.mark.parametrize("parameter", ["reasoning_effort", "thinking", "verbosity", "tools", "response_format", "seed"])
def test_litellm_lists_as_supported(parameter: str) -> None:
    supported = litellm.get_supported_openai_params(model=f"moa/{FINAL}", custom_llm_provider="composite")
    assert supported is not None
    assert parameter in supported


def test_other_custom_providers_keep_their_own_list(provider: None) -> None:
    supported = litellm.get_supported_openai_params(model="gpt-x", custom_llm_provider="hosted_vllm")
    plain = litellm.OpenAILikeChatConfig().get_supported_openai_params("some/model")
    assert "verbosity" not in plain
    assert supported is None or "composite" not in supported


def test_deploying_a_composite_in_a_router_leaves_its_entry_alone_unless_litellm_writes_one() -> None:
    model = "composite/moa/openai/gpt-4.1-deployed"
    litellm.Router(model_list=[{"model_name": "wise", "litellm_params": {"model": model}}])
    # LiteLLM 1.94 registers a deployment's model string, without capabilities, before our rule is asked.
    replaced = litellm.model_cost.pop(model, None) is not None
    assert replaced or litellm.supports_function_calling(model=model) is True


@pytest.mark.parametrize("way", ["import composite_llm; composite_llm.handler", "from composite_llm import handler"])
def test_touching_the_handler_is_enough(way: str) -> None:
    done = run_program(
        f"""
        {way}
        import litellm
        print(litellm.supports_function_calling("{MOA}"), litellm.get_model_info("{COUNCIL}")["mode"])
        """
    )
    assert (done.stdout, done.returncode) == ("True chat\n", 0), done.stderr


def test_registering_writes_nothing_to_the_screen() -> None:
    done = run_program("import composite_llm; composite_llm.register(); composite_llm.register()")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
