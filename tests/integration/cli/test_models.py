"""`composite models` and `composite explain`, in this process: their LiteLLM is the tests'."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from composite_llm.cli.app import app
from composite_llm.cli.exits import run
from composite_llm.cli.keys import PROVIDERS
from fake_server import ThreadedServer


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], provider: None) -> Iterator[Callable[..., tuple[int, str, str]]]:
    import logging

    import composite_llm

    names = ("composite_llm", "LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
    levels = {name: logging.getLogger(name).level for name in names}

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(app, arguments)
        return (code, *capsys.readouterr())

    yield call
    # The command sets up the process for itself.
    composite_llm.register(config={})
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_the_models_of_a_provider_have_windows_prices_and_abilities(command: Any) -> None:
    code, printed, told = command("models", "--provider", "anthropic")
    assert code == 0
    head, *rows = [line.split("\t") for line in printed.splitlines()]
    assert head == ["MODEL", "WINDOW", "$/M IN", "$/M OUT", "VISION", "TOOLS"]
    (sonnet,) = [row for row in rows if row[0] == "anthropic/claude-sonnet-4-5"]
    assert sonnet[1:] == ["200000", "3.00", "15.00", "yes", "yes"]
    assert all(row[0].startswith("anthropic/") for row in rows)
    assert told == "Keys set here: none\n"


def test_of_keys_only_the_names_are_told(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "very-secret")
    code, printed, told = command("models")
    assert code == 0
    assert {line.split("/")[0] for line in printed.splitlines()[1:]} == {"mistral"}
    assert told == "Keys set here: MISTRAL_API_KEY\n"
    code, printed, _ = command("models", "--json")
    document = json.loads(printed)
    assert document["keys"] == ["MISTRAL_API_KEY"]
    assert {model["provider"] for model in document["models"]} == {"mistral"}
    assert "very-secret" not in printed


def test_without_a_key_the_providers_are_listed(command: Any) -> None:
    code, printed, _ = command("models")
    rows = dict(line.split("\t") for line in printed.splitlines())
    assert code == 0
    assert set(PROVIDERS) < set(rows)
    assert int(rows["openai"]) > 10


def test_an_unknown_provider_is_told_with_the_nearest(command: Any) -> None:
    code, printed, told = command("models", "--provider", "antropic")
    assert (code, printed) == (2, "")
    assert told.startswith("composite: --provider antropic: LiteLLM knows no chat model of it; nearest: anthropic")


def test_what_the_command_would_pick_is_in_the_table() -> None:
    from composite_llm.provider.known_models import models_of

    known = {model.model for model in models_of(PROVIDERS)}
    assert {model for provider in PROVIDERS.values() for model in (provider.strong, provider.small)} <= known


def test_check_asks_the_endpoints(command: Any, server: ThreadedServer, tmp_path: Path) -> None:
    node = f"{{model: openai/nobody, api_base: '{server.base_url}', api_key: x}}"
    server.set_scenario("gpt-4.1", {"text": "here"})
    (tmp_path / "c.yaml").write_text(
        f"profiles:\n  p: {{strategy: moa, model: openai/gpt-4.1, api_base: '{server.base_url}', api_key: x, "
        f"proposers: [{node}]}}\n",
        encoding="utf-8",
    )
    code, printed, _ = command("models", "check", "p", "--config", str(tmp_path / "c.yaml"))
    assert code == (1 if "nobody" in printed else 0)
    assert command("models", "check", "q", "--config", str(tmp_path / "c.yaml"))[0] == 2


def test_explain_draws_the_tree_and_says_the_numbers(command: Any) -> None:
    nested = "composite/moa/openai/gpt-4.1-mini"
    words = ("explain", "-s", "council", "-m", "openai/gpt-4.1", "-p", "openai/gpt-4.1-nano", "-p", nested)
    code, printed, _ = command(*words, "-o", "chairman.fallbacks=[openai/gpt-4o]")
    assert code == 0
    lines = printed.splitlines()
    assert lines[0] == "composite/council/openai/gpt-4.1"
    assert "├── answer  2 members" in lines
    assert "│       ├── propose  3 proposers" in lines
    assert "    └── openai/gpt-4.1  else openai/gpt-4o" in lines
    assert "Calls    11" in lines
    assert "Rounds   5 (long)" in lines
    document = json.loads(command(*words, "--json")[1])
    assert (document["calls"], document["rounds"], document["latency_class"]) == (11, 5, "long")
    assert document["best_cost_usd"] < document["worst_cost_usd"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "-m", "openai/gpt-4.1", "-o", "samplez=3"), "did you mean 'samples'?"),
        (("explain", "--profile", "absent"), "profile 'absent' is unknown"),
        (("explain", "-m", "composite/vote/x"), "names no strategy"),
        (("explain", "--config", "absent.yaml", "-m", "x"), "absent.yaml: No such file"),
        (("explain",), "OPENAI_API_KEY"),
        (("ask", "--strategy", "vote"), "'vote' is not one of"),
        (("ask", "-m", "x"), "there is no question"),
        (("ask", "-m", "openai/x", "-o", "samplez=3", "Why?"), "did you mean 'samples'?"),
        (("config", "model-info", "absent"), "profile 'absent' is unknown"),
        (("serve", "--no-start"), "--write"),
        (("serve", "--host", "0.0.0.0"), "LITELLM_MASTER_KEY"),
        (("serve", "--port", "0"), "Invalid value for '--port'"),
        (("serve",), "no profiles to serve"),
    ],
)
def test_a_mistake_is_one_line_and_ends_with_two(
    command: Any, arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, printed, told = command(*arguments)
    assert (code, printed) == (2, "")
    assert told.startswith("composite: ")
    assert told.count("\n") == 1
    assert says in told


def test_model_info_is_a_block_for_the_proxys_configuration(command: Any) -> None:
    import yaml

    code, printed, told = command("config", "model-info", "careful", "--config", "examples/composite.yaml")
    assert (code, told) == (0, "")
    info = yaml.safe_load(printed)["model_info"]
    assert info["mode"] == "chat"
    assert (info["max_input_tokens"], info["supports_function_calling"]) == (200_000, True)
    # Every one of its seven calls reads the question.
    assert info["input_cost_per_token"] == pytest.approx(2 * (4e-7 + 3e-6 + 1e-6) + 3e-6)
    assert info["output_cost_per_token"] > 15e-6


def test_model_info_without_a_price_says_so(command: Any) -> None:
    code, printed, told = command("config", "model-info", "composite/moa/openai/nobody-knows")
    assert code == 0
    assert "cost" not in printed
    assert told.startswith("without prices")


def test_serve_writes_a_configuration_for_the_proxy(command: Any, tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "proxy.yaml"
    words = ("serve", "--config", "examples/composite.yaml", "--profile", "quick", "--write", str(path), "--no-start")
    code, printed, told = command(*words)
    assert (code, printed, told) == (0, "", f"written: {path}\n")
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    (deployment,) = written["model_list"]
    assert deployment["model_name"] == "quick"
    assert deployment["litellm_params"] == {"model": "composite/profile/quick"}
    assert deployment["model_info"]["disable_background_health_check"] is True
    assert written["litellm_settings"]["custom_provider_map"] == [
        {"provider": "composite", "custom_handler": "composite_llm.handler"}
    ]
    assert written["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
