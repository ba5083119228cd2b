"""Every mistake of a file, each with its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composite_llm.config.checked_file import problems_of_file, variables_in
from composite_llm.config.profiles import Profiles, load_profiles
from composite_llm.model.errors import InvalidConfig

MANY = """\
telemetry: {pathh: x}
colour: red
profiles:
  fast:
    strategy: moa
    model: m
    propsers: [a]
    quorum: none
    samples: 0
    proposers:
      - model: a
        num_retires: 3
      - name: b
    aggregator: {model: c, api_key: sk-1234567890abcd, timout: 3}
  other:
    strategy: moe
  third:
    strategy: council
    members: [a, {model: b, timeout: -1, fallbacks: [{x: 1}]}]
    quorum: 1
    quorum: 2
"""


def found(path: Path, text: str) -> list[tuple[int, int, str]]:
    path.write_text(text, encoding="utf-8")
    problems = problems_of_file(path)
    assert all(problem.source == str(path) for problem in problems)
    return [(p.place.line, p.place.column, p.message) if p.place else (0, 0, p.message) for p in problems]


def test_every_mistake_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    problems = found(tmp_path / "c.yaml", MANY)
    assert [(line, column, message.split(";")[0]) for line, column, message in problems] == [
        (1, 13, "telemetry.pathh: unknown key"),
        (2, 1, "unknown key 'colour'"),
        (7, 5, "profiles.fast.propsers: unknown key"),
        (8, 5, "profiles.fast.quorum: got 'none'"),
        (9, 5, "profiles.fast.samples: got 0"),
        (12, 9, "profiles.fast.proposers.0.num_retires: unknown key"),
        (13, 9, "profiles.fast.proposers.1.model: is missing"),
        (14, 56, "profiles.fast.aggregator.timout: unknown key"),
        (16, 5, "profiles.other.strategy: got 'moe'"),
        (19, 29, "profiles.third.members.1.timeout: got -1"),
        (19, 54, "profiles.third.members.1.fallbacks.0.model: is missing"),
        (21, 5, "key 'quorum' is given twice"),
    ]
    assert "sk-1234567890abcd" not in str(problems)


def test_loading_raises_one_of_them_with_the_same_words(tmp_path: Path) -> None:
    problems = found(tmp_path / "c.yaml", MANY)
    with pytest.raises(InvalidConfig) as raised:
        load_profiles(tmp_path / "c.yaml")
    said = {f"{tmp_path / 'c.yaml'}, line {line}: {message}" for line, _, message in problems}
    assert str(raised.value) in said


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        pytest.param("profiles:\n  a: [\n", (3, 1), "not valid YAML", id="broken"),
        pytest.param("profiles:\n  a: {b: 'x\n", (3, 1), "not valid YAML", id="open-quote"),
        pytest.param("- a\n", (0, 0), "the top level must be a mapping", id="list"),
        pytest.param("profiles: [a]\n", (1, 1), "must map names to profiles", id="profiles-as-a-list"),
        pytest.param(
            "profiles:\n  a:\n    strategy: moa\n    model: m\n    proposers: [b]\n    quorum: 2\n",
            (6, 5),
            "profiles.a: quorum: got 2; allowed: at most the 1 proposers",
            id="quorum-that-no-stage-can-meet",
        ),
        pytest.param(
            "profiles:\n  a: {strategy: moa, model: composite/profile/b}\n",
            (2, 3),
            "profiles.a: profile 'b' is unknown",
            id="unknown-profile",
        ),
        pytest.param(
            "profiles:\n  a: {strategy: moa, model: composite/profile/a}\n", (2, 22), "contains itself", id="cycle"
        ),
        pytest.param(
            "profiles:\n  a:\n    strategy: moa\n    model: m\n    proposers: [{model: b, system: 'persona:x'}]\n",
            (2, 3),
            "persona:x",
            id="unknown-persona",
        ),
        pytest.param("profiles:\n  a: {strategy: moa}\n", (2, 3), "names no final model", id="no-final-model"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, place: tuple[int, int], says: str) -> None:
    ((line, column, message),) = found(tmp_path / "c.yaml", text)
    assert (line, column) == place
    assert says in message


def test_a_file_that_is_not_there_is_a_problem_without_a_place(tmp_path: Path) -> None:
    (problem,) = problems_of_file(tmp_path / "absent.yaml")
    assert (problem.place, problem.message) == (None, "No such file or directory")


def test_a_file_is_checked_where_its_keys_are_not(tmp_path: Path) -> None:
    text = (
        "profiles:\n  a:\n    strategy: moa\n    model: m\n    api_key: os.environ/NOBODY_SET_THIS\n"
        "    proposers: [{model: b, api_key: os.environ/NOR_THIS}]\n"
    )
    assert found(tmp_path / "c.yaml", text) == []
    assert variables_in(tmp_path / "c.yaml") == ["NOBODY_SET_THIS", "NOR_THIS"]


_WORDS = st.sampled_from(
    ["profiles", "strategy", "moa", "council", "model", "members", "proposers", "quorum", "telemetry", "a", "1", "-1"]
)
_VALUES = st.recursive(
    st.one_of(_WORDS, st.integers(-2, 3), st.none(), st.booleans(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=4)),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(_WORDS, _VALUES, max_size=4))
def test_a_file_without_problems_loads(tmp_path: Path, content: object) -> None:
    import yaml

    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    problems = problems_of_file(path)
    assert all(problem.message and "\n" not in problem.message for problem in problems)
    if not problems:
        assert isinstance(load_profiles(path), Profiles)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
def test_any_text_gives_problems_and_no_exception(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    assert isinstance(problems_of_file(path), list)
