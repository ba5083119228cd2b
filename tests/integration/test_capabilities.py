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
