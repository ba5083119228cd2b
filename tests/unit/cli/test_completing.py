"""What the shell offers; asked as the shell does, of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from composite_llm.cli.chat.reading import completions
from composite_llm.cli.completing import complete_model, complete_option, complete_profile
from composite_llm.cli.keys import has_key, names_of_keys
from tests.support.commands import run_command

CONFIG = """\
profiles:
  quick: {strategy: moa, model: openai/gpt-4.1, proposers: [mistral/small, {model: groq/x, fallbacks: [xai/y]}]}
  careful: {strategy: council, chairman: {model: anthropic/big}, mistake: 1}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "composite.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_profiles_are_those_of_the_file_even_of_one_with_a_mistake() -> None:
    assert complete_profile("") == ["quick", "careful"]
    assert complete_profile("c") == ["careful"]


@pytest.mark.parametrize("text", ["profiles: [", "- a", "profiles: 3", "", "profiles:\n  a: 2020-99-99\n"])
def test_a_file_that_cannot_be_read_completes_nothing(config: Path, text: str) -> None:
    config.write_text(text, encoding="utf-8")
    assert complete_profile("") == (["a"] if "a:" in text and "99" not in text else [])
    config.unlink()
    assert complete_profile("") == []


def test_models_are_those_that_the_file_names_and_those_that_would_be_picked() -> None:
    found = complete_model("")
    assert {"mistral/small", "groq/x", "xai/y", "anthropic/big", "composite/profile/quick"} <= set(found)
    assert "openai/gpt-4.1-mini" in found
    assert complete_model("xai") == ["xai/y"]


def test_options_end_with_the_sign_that_follows_them() -> None:
    assert complete_option("quo") == ["quorum="]


def test_a_shell_gets_commands_options_and_profiles(tmp_path: Path) -> None:
    def offered(words: str, place: int) -> list[str]:
        more = {"_COMPOSITE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        return run_command([], cwd=tmp_path, more=more).stdout.split()

    assert "ask" in offered("composite ", 1)
    assert offered("composite config ", 2) == ["check", "show", "schema", "model-info"]
    assert offered("composite ask --pro", 2) == ["--proposer", "--profile"]
    assert offered("composite ask --profile ", 3) == ["quick", "careful"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("/st", ["/stats"]),
        ("/mode ", ["moa", "council"]),
        ("/mode c", ["council"]),
        ("/profile q", ["quick"]),
        ("/persona ske", ["skeptic"]),
        ("/save ", []),
        ("a question", []),
    ],
)
def test_in_a_conversation_commands_and_what_follows_them_are_offered(line: str, offered: list[str]) -> None:
    assert [word for word, _ in completions(line)] == offered


@pytest.mark.parametrize(
    ("variable", "provider", "other"),
    [
        ("OPENAI_API_KEY", "openai", "openrouter"),
        ("XAI_API_KEY", "xai", "openai"),
        ("TOGETHERAI_API_KEY", "together_ai", "openai"),
        ("FIREWORKS_API_KEY", "fireworks_ai", "together_ai"),
        ("GOOGLE_API_KEY", "gemini", "vertex_ai"),
        ("AWS_ACCESS_KEY_ID", "bedrock_converse", "sagemaker"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "vertex_ai-language-models", "gemini"),
    ],
)
def test_a_variable_is_the_key_of_its_provider_alone(
    variable: str, provider: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_key(provider)
    monkeypatch.setenv(variable, "very-secret")
    assert has_key(provider)
    assert not has_key(other)
    assert names_of_keys() == [variable]
    monkeypatch.setenv(variable, "")
    assert not has_key(provider)
