from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from composite_llm.config.profiles import CONFIG_VARIABLE, DEFAULT_FILE, load_profiles
from composite_llm.model.errors import InvalidConfig, UnknownProfile
from composite_llm.observe.otel_settings import OtelSettings

GOOD = """\
profiles:
  fast:
    strategy: moa
    description: two small models
    proposers: [openai/a, {model: openai/b, temperature: 0.5}]
    aggregator: {model: openai/c, system: be brief}
    quorum: 2
    temperature: 0.25
    timeout: 30
  board:
    strategy: council
    model: openai/chair
"""


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "profiles.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture(autouse=True)
def _no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


def test_a_profile_holds_strategy_final_model_options_and_call_parameters(written: Any) -> None:
    profiles = load_profiles(written(GOOD))
    fast, board = profiles.find("fast"), profiles.find("board")
    assert (fast.name, fast.strategy, fast.model) == ("fast", "moa", "openai/c")
    assert set(fast.options) == {"proposers", "aggregator", "quorum"}
    assert fast.parameters == {"temperature": 0.25, "timeout": 30}
    assert (board.strategy, board.model, board.options, board.parameters) == ("council", "openai/chair", {}, {})


def test_the_model_of_a_profile_wins_over_that_of_its_final_node() -> None:
    profiles = load_profiles({"p": {"strategy": "moa", "model": "a", "aggregator": {"model": "b"}}})
    assert profiles.find("p").model == "a"


@pytest.mark.parametrize("wrapped", [True, False], ids=["under-profiles", "bare"])
def test_a_mapping_may_name_its_profiles_directly_or_under_profiles(wrapped: bool) -> None:
    bare = {"fast": {"strategy": "moa", "model": "m"}}
    profiles = load_profiles({"profiles": bare} if wrapped else bare)
    assert list(profiles.by_name) == ["fast"]


@pytest.mark.parametrize(
    "config", [{}, {"profiles": {}}, {"profiles": None}], ids=["nothing", "empty", "profiles-without-a-value"]
)
def test_no_profiles_are_no_error(config: dict[str, Any]) -> None:
    assert load_profiles(config).by_name == {}


@pytest.mark.parametrize("text", ["", "# only a remark\n", "profiles:\n"], ids=["empty", "comment", "no-value"])
def test_a_file_without_profiles_is_no_error(written: Any, text: str) -> None:
    assert load_profiles(written(text)).by_name == {}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: m\n    propsers: [a]\n",
            5,
            r"profiles\.fast\.propsers: unknown key; did you mean 'proposers'\?; allowed: options of moa: aggregation, aggregator, allow_unpriced, analysis,",
            id="misspelt-option",
        ),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: m\n    colour: red\n",
            5,
            r"profiles\.fast\.colour: unknown key; allowed: options of moa",
            id="unknown-key",
        ),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: m\n    members: [a]\n",
            5,
            r"profiles\.fast\.members: unknown key",
            id="option-of-the-other-strategy",
        ),
        pytest.param("profiles:\n  fast: [\n", 3, "not valid YAML", id="broken"),
        pytest.param("profiles:\n\tfast: 1\n", 2, "not valid YAML", id="tab"),
        pytest.param(
            "profiles:\n  a:\n    strategy: moa\n    model: m\n  a:\n    strategy: moa\n    model: m\n",
            5,
            "key 'a' is given twice",
            id="duplicate-profile",
        ),
        pytest.param(
            "profiles:\n  a:\n    strategy: moa\n    quorum: 1\n    quorum: 2\n",
            5,
            "key 'quorum' is given twice",
            id="duplicate-option",
        ),
        pytest.param("profiles:\n  - fast\n", 1, "'profiles' must map names to profiles", id="profiles-as-a-list"),
        pytest.param(
            "profils:\n  fast: {strategy: moa}\n", 1, "unknown key 'profils'; allowed: profiles, otel", id="top"
        ),
        pytest.param(
            "profiles: {}\notel:\n  spams: true\n", 3, "otel.spams: unknown key; allowed: spans", id="section"
        ),
        pytest.param(
            "profiles:\n  fast:\n    model: m\n",
            2,
            r"profiles\.fast\.strategy: is missing; allowed: moa or council",
            id="strategy-missing",
        ),
        pytest.param(
            "profiles:\n  fast:\n    model: m\n    strategy: moe\n",
            4,
            r"profiles\.fast\.strategy: got 'moe'; allowed: moa or council",
            id="strategy-unknown",
        ),
        pytest.param("profiles:\n  fast: moa\n", 2, r"profiles\.fast\.strategy: got 'moa'", id="profile-as-a-string"),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: [m]\n",
            4,
            r"profiles\.fast\.model: got \['m'\]; allowed: a model string",
            id="model-as-a-list",
        ),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: m\n    proposers:\n      - a\n      - name: b\n",
            7,
            r"profiles\.fast\.proposers\.1\.model: is missing",
            id="node-without-a-model",
        ),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    proposers:\n    - model: a\n      fallbacks: [b, {modell: c}]\n",
            6,
            r"profiles\.fast\.proposers\.0\.fallbacks\.1",
            id="fallback-without-a-model",
        ),
        pytest.param(
            "profiles:\n  fast:\n    strategy: moa\n    model: m\n    aggregator:\n      modell: c\n",
            6,
            r"profiles\.fast\.aggregator\.modell: unknown key; did you mean 'model'\?",
            id="misspelt-key-of-a-node",
        ),
        pytest.param(
            "fast:\n  strategy: moa\n  model: m\n  quorum: none\n",
            4,
            r"fast\.quorum: got 'none'",
            id="bad-value-in-the-bare-form",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(written: Any, text: str, line: int, says: str) -> None:
    path = written(text)
    with pytest.raises(InvalidConfig, match=rf"^{re.escape(str(path))}, line {line}: .*{says}") as raised:
        load_profiles(path)
    assert raised.value.status_code == 400


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("- fast\n", "the top level must be a mapping", id="list"),
        pytest.param("fast\n", "the top level must be a mapping", id="word"),
        pytest.param(b"\xff\xfe\x00", "is not UTF-8 text", id="not-text"),
        pytest.param("a: " + "[" * 40 + "]" * 40, "more than 20 levels deep", id="very-deep"),
        pytest.param("a: &a [*a]\n", "more than 20 levels deep", id="contains-itself"),
        pytest.param("a: 2020-99-99\n", "not valid YAML", id="impossible-date"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(written: Any, content: str | bytes, says: str) -> None:
    path = written(content)
    with pytest.raises(InvalidConfig, match=rf"^{re.escape(str(path))}: .*{says}"):
        load_profiles(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"absent\.yaml: No such file"):
        load_profiles(tmp_path / "absent.yaml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="directory"):
        load_profiles(tmp_path)


def test_a_mapping_that_is_wrong_is_said_without_a_line() -> None:
    with pytest.raises(InvalidConfig, match=r"^config: profiles\.fast\.quorum: got 0"):
        load_profiles({"profiles": {"fast": {"strategy": "moa", "model": "m", "quorum": 0}}})


def test_a_key_in_a_profile_does_not_show_in_its_error(written: Any) -> None:
    path = written("profiles:\n  p:\n    strategy: moa\n    proposers: {model: m, api_key: sk-1234}\n")
    with pytest.raises(InvalidConfig) as raised:
        load_profiles(path)
    assert "sk-1234" not in str(raised.value)


def test_without_a_name_the_working_directory_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_profiles().by_name == {}
    Path(DEFAULT_FILE).write_text(GOOD, encoding="utf-8")
    assert set(load_profiles().by_name) == {"fast", "board"}


def test_the_variable_names_the_file_and_wins_over_the_working_directory(
    written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(DEFAULT_FILE).write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(written("only: {strategy: moa, model: m}")))
    assert set(load_profiles().by_name) == {"only"}
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    assert set(load_profiles().by_name) == {"fast", "board"}


def test_a_file_that_the_variable_names_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "absent.yaml"))
    with pytest.raises(InvalidConfig, match=r"absent\.yaml"):
        load_profiles()


def test_an_unknown_profile_is_told_with_the_nearest_names(written: Any) -> None:
    with pytest.raises(UnknownProfile, match="profile 'fats' is unknown; nearest: 'fast', 'board'") as raised:
        load_profiles(written(GOOD)).find("fats")
    assert raised.value.status_code == 404


def test_an_unknown_profile_without_any_says_so() -> None:
    with pytest.raises(UnknownProfile, match="no profiles are configured"):
        load_profiles({}).find("fast")


def test_a_section_beside_the_profiles_has_its_own_settings(written: Any) -> None:
    loaded = load_profiles(written(GOOD + "otel: {metrics: false}\n"))
    assert loaded.sections == {"otel": OtelSettings(metrics=False)}
    assert set(loaded.by_name) == {"fast", "board"}
    assert load_profiles({"otel": True}).sections == {"otel": OtelSettings()}
    assert load_profiles(written(GOOD)).sections == {}
