"""How the provider gets into LiteLLM, and where its profiles and executors come from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FINAL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask
from tests.support.interpreter import run_program

PAIR = {"profiles": {"pair": {"strategy": "moa", "model": FINAL, "proposers": [FIRST, SECOND]}}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


class _Other(litellm.CustomLLM):
    def completion(self, *_: Any, **kwargs: Any) -> litellm.ModelResponse:
        message = litellm.Message(content="other", role="assistant")
        return litellm.ModelResponse(model=kwargs["model"], choices=[litellm.Choices(message=message)])


@pytest.fixture
def other_provider(provider: None) -> Iterator[None]:
    before = litellm.custom_provider_map
    litellm.custom_provider_map = [*before, {"provider": "another", "custom_handler": _Other()}]
    yield
    litellm.custom_provider_map = before


@pytest.fixture(autouse=True)
def _no_profiles_left(provider: None) -> Iterator[None]:
    yield
    composite_llm.register(config={})


def test_registering_again_keeps_other_providers_and_adds_no_second_entry(other_provider: None, ask: Ask) -> None:
    composite_llm.register()
    composite_llm.register()
    providers = [entry["provider"] for entry in litellm.custom_provider_map]
    assert sorted(providers) == ["another", "composite"]
    assert litellm.completion(model="another/x", messages=MESSAGES).choices[0].message.content == "other"
    assert ask(proposers=[FIRST]).choices[0].message.content


def test_importing_the_package_loads_neither_litellm_nor_anything_it_registers() -> None:
    done = run_program(
        """
        import sys
        import composite_llm
        from composite_llm import CompositeError, InvalidOption, Trace
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"litellm", "openai", "httpx", "aiohttp"}))
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


def test_the_handler_alone_serves_as_the_proxy_names_it(server: ThreadedServer) -> None:
    done = run_program(
        f"""
        import litellm
        from litellm.litellm_core_utils.litellm_logging import Logging
        from litellm.proxy.types_utils.utils import get_instance_fn
        handler = get_instance_fn("composite_llm.handler", config_file_path="config.yaml")
        litellm.custom_provider_map = [{{"provider": "composite", "custom_handler": handler}}]
        litellm.utils.custom_llm_setup()
        answer = litellm.completion(
            model={MOA!r}, proposers=[{FIRST!r}], messages={MESSAGES!r}, api_base={server.base_url!r}, api_key={KEY!r}
        )
        print(answer.model, litellm.supports_function_calling({MOA!r}))
        """
    )
    assert (done.stdout, done.returncode) == (f"{MOA} True\n", 0), done.stderr
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o"]


def test_every_public_name_is_there() -> None:
    missing = [name for name in composite_llm.__all__ if not hasattr(composite_llm, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'handle'"):
        composite_llm.handle  # noqa: B018


@pytest.mark.parametrize("form", ["mapping", "path as text", "path", "environment", "default file"])
def test_profiles_come_from(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask, server: ThreadedServer
) -> None:
    name = "composite.yaml" if form == "default file" else "mine.yaml"
    file = tmp_path / name
    file.write_text(yaml.safe_dump(PAIR))
    if form == "environment":
        monkeypatch.setenv("COMPOSITE_LLM_CONFIG", str(file))
    monkeypatch.chdir(tmp_path)
    config: Any = {"mapping": PAIR, "path as text": str(file), "path": file}.get(form)
    composite_llm.register(config=config)
    answer = ask("composite/profile/pair")
    assert answer.model == "composite/profile/pair"
    assert sorted(map(str, wire.models(server))) == ["gpt-4.1-mini", "gpt-4o", "gpt-4o-mini"]


def test_the_environment_goes_before_the_default_file_and_an_argument_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, profile in (("composite.yaml", "default"), ("named.yaml", "named"), ("given.yaml", "given")):
        (tmp_path / file).write_text(yaml.safe_dump({"profiles": {profile: PAIR["profiles"]["pair"]}}))
    monkeypatch.chdir(tmp_path)
    known = lambda name: litellm.model_cost.get(f"composite/profile/{name}") is not None  # noqa: E731
    composite_llm.register()
    assert (known("default"), known("named"), known("given")) == (True, False, False)
    monkeypatch.setenv("COMPOSITE_LLM_CONFIG", str(tmp_path / "named.yaml"))
    composite_llm.register()
    assert (known("named"), known("given")) == (True, False)
    composite_llm.register(config=tmp_path / "given.yaml")
    with pytest.raises(composite_llm.UnknownProfile, match="nearest: 'given'"):
        litellm.completion(model="composite/profile/named", messages=MESSAGES)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        pytest.param({"profiles": {"p": {"strategy": "moa", "proposer": [FIRST]}}}, "proposers", id="misspelt key"),
        pytest.param({"profiles": {"p": {"strategy": "moa", "colour": 1}}}, "p.colour", id="unknown key"),
        pytest.param({"profiles": {"p": {"strategy": "vote"}}}, "moa or council", id="unknown strategy"),
        pytest.param({"profiles": {"p": {"strategy": "moa", "proposers": []}}}, "proposers", id="no proposers"),
        pytest.param({"profiles": {"p": {"strategy": "moa", "samples": 0}}}, "samples", id="value out of range"),
        pytest.param({"profiles": ["p"]}, "profiles", id="profiles as a list"),
        pytest.param({"profile": {}}, "profile", id="wrong top level key"),
        pytest.param(
            {"profiles": {"p": {"strategy": "moa", "proposers": [{"name": "x"}]}}},
            "proposers.0.model",
            id="node without model",
        ),
        pytest.param("missing.yaml", "missing.yaml", id="missing file"),
    ],
)
def test_a_bad_configuration_is_refused_when_it_is_registered_and_the_old_one_stays(
    config: Any, complaint: str, ask: Ask
) -> None:
    composite_llm.register(config=PAIR)
    with pytest.raises(composite_llm.InvalidConfig) as caught:
        composite_llm.register(config=config)
    assert complaint in str(caught.value)
    assert caught.value.status_code == 400
    assert ask("composite/profile/pair").model == "composite/profile/pair"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("profiles:\n  p:\n    strategy: [moa\n", 4, id="unclosed bracket"),
        pytest.param("profiles:\n  p:\n    strategy: moa\n    proposer: [a]\n", 4, id="misspelt key"),
        pytest.param("profiles:\n  p:\n    strategy: moa\n  p:\n    strategy: moa\n", 4, id="a name twice"),
        pytest.param(
            "profiles:\n  p:\n    strategy: moa\n    proposers:\n      - name: x\n", 5, id="node without model"
        ),
        pytest.param("profiles:\n  p:\n    strategy: moa\n    model: m\n    layers: -1\n", 5, id="negative"),
    ],
)
def test_a_bad_file_is_named_with_its_line(text: str, line: int, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(composite_llm.InvalidConfig) as caught:
        composite_llm.register(config=file)
    assert str(caught.value).startswith(f"{file}, line {line}: ")


def test_a_router_lends_its_names_to_nodes(server: ThreadedServer, ask: Ask) -> None:
    deployment = {"api_base": server.base_url, "api_key": KEY}
    router = litellm.Router(
        model_list=[
            {"model_name": "quick", "litellm_params": {"model": "openai/gpt-4.1-nano", **deployment}},
            {"model_name": "strong", "litellm_params": {"model": "openai/gpt-4.1", **deployment}},
        ]
    )
    composite_llm.register(router=router)
    answer = litellm.completion(model="composite/moa/strong", proposers=["quick", "quick"], messages=MESSAGES)
    assert wire.models(server) == ["gpt-4.1-nano", "gpt-4.1-nano", "gpt-4.1"]
    trace = composite_llm.get_trace(answer)
    assert [call.model for call in trace.calls] == ["quick", "quick", "strong"]
    assert trace.usage.total_tokens == wire.tokens(server)["total_tokens"]
    assert trace.cost_usd is not None
    assert trace.cost_usd > 0


def test_a_tool_executor_is_found_by_the_name_it_was_registered_under(ask: Ask, server: ThreadedServer) -> None:
    asked = []

    def executor(name: str, arguments: dict[str, Any]) -> str:
        asked.append((name, arguments))
        return "a book"

    composite_llm.register(tool_executors={"shelf": executor})
    server.set_scenario(
        "gpt-4o", {"sequence": [{"tool_calls": [{"name": "look", "arguments": {"at": 1}}]}, {"text": "Done."}]}
    )
    answer = ask(proposers=[FIRST], tools=TOOLS, tool_executor="shelf")
    assert answer.choices[0].message.content == "Done."
    assert asked == [("look", {"at": 1})]
    assert wire.records(server, "gpt-4o")[-1].body["messages"][-1]["content"] == "a book"


def test_an_executor_stays_registered_when_register_is_called_for_something_else(ask: Ask) -> None:
    composite_llm.register(tool_executors={"kept": lambda name, arguments: "x"})
    composite_llm.register(config=PAIR)
    answer = ask(proposers=[FIRST], tool_executor="kept")
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("executor", [7, "nobody", {"look": "not a function"}], ids=["number", "unknown", "mapping"])
def test_an_executor_that_cannot_be_called_is_refused(executor: Any, ask: Ask, server: ThreadedServer) -> None:
    with pytest.raises(composite_llm.InvalidOption, match="tool_executor"):
        ask(proposers=[FIRST], tools=TOOLS, tool_executor=executor)
    assert wire.models(server) == []


def test_a_registered_executor_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(composite_llm.InvalidOption, match="tool_executor"):
        composite_llm.register(tool_executors={"bad": 7})


def test_a_composite_without_members_says_so_once_in_the_log(
    ask: Ask, server: ThreadedServer, caplog: pytest.LogCaptureFixture
) -> None:
    model = "composite/moa/openai/gpt-3.5-turbo"
    with caplog.at_level(logging.WARNING, logger="composite_llm"):
        first, second = ask(model), ask(model)
    said = [record.getMessage() for record in caplog.records if record.name == "composite_llm"]
    assert len(said) == 1
    assert "Self-MoA: 3 samples of openai/gpt-3.5-turbo" in said[0]
    for answer in (first, second):
        assert "Self-MoA: 3 samples of openai/gpt-3.5-turbo" in answer.choices[0].message.reasoning_content


def test_registering_loads_nothing_that_only_a_failure_or_a_checked_answer_needs() -> None:
    done = run_program(
        """
        import sys
        import litellm
        before = set(sys.modules)
        import composite_llm
        composite_llm.register()
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(loaded & {"jsonschema", "referencing", "tenacity", "tornado", "opentelemetry", "rich", "typer"}))
        """
    )
    assert done.stdout.strip() == "[]", done.stderr
