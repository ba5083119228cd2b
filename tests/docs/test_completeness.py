"""The documents name all there is, and nothing else, with the right defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest

import composite_llm
from composite_llm.config.node import Node, NodeSettings
from composite_llm.config.parameters import CONNECTION, EVERY_CALL, FINAL_ONLY
from composite_llm.config.registry import STRATEGIES
from composite_llm.model import errors, personas
from composite_llm.proxy.policy import FREE, LOWER_ONLY, MAX_CLIENT_NODES, NEVER, UP_TO
from tests.docs.blocks import ROOT, codes, document, documents, section, table
from tests.docs.running import make_targets

OPTIONS = document("docs/options.md")
STRATEGY_PAGE = document("docs/strategies.md")
FAILURES = document("docs/failures.md")
PROXY = document("docs/proxy.md")
API = document("docs/api.md")


def _shown(default: Any) -> str:
    """A default as the tables write it."""
    match default:
        case None | ():
            return "none"
        case bool():
            return str(default).lower()
        case _:
            return str(default)


def _one_code(cell: str) -> str:
    (found,) = codes(cell)
    return found


def _options() -> dict[str, tuple[str, str]]:
    """For every option, the strategies that know it and its default."""
    found: dict[str, tuple[str, str]] = {}
    for strategy, options in STRATEGIES.items():
        for name, field in options.model_fields.items():
            shared = all(name in other.model_fields for other in STRATEGIES.values())
            found[name] = ("both" if shared else strategy, _shown(field.default))
    return found


def test_the_options_table_has_every_option_with_its_strategies_and_its_default() -> None:
    rows = {_one_code(row[0]): (row[1], row[2]) for row in table(section(OPTIONS, "## Options"))}
    assert rows.pop("timeout") == ("both", "LiteLLM's")
    assert rows == _options()


def test_every_value_that_an_option_may_have_is_named() -> None:
    rows = {_one_code(row[0]): row[3] for row in table(section(OPTIONS, "## Options"))}
    for options in STRATEGIES.values():
        for name, field in options.model_fields.items():
            for value in _literals(field.annotation):
                assert f"`{value}`" in rows[name], name


def _literals(annotation: Any) -> Iterable[str]:
    return re.findall(r"'(\w+)'", str(annotation)) if "Literal" in str(annotation) else ()


def test_the_node_table_has_every_key_with_its_default() -> None:
    rows = {_one_code(row[0]): row[1] for row in table(section(OPTIONS, "## Nodes"))}
    assert Node.model_fields["model"].is_required()
    expected = {name: _shown(field.default) for name, field in NodeSettings.model_fields.items()}
    assert rows == {**expected, "model": "required"}


def test_every_strategy_and_no_other_is_in_the_table_of_costs() -> None:
    named = [_one_code(row[0]) for row in table(section(STRATEGY_PAGE, "# Strategies"))]
    assert sorted(name.split("/")[1] for name in named) == sorted([*STRATEGIES, "profile"])


@pytest.mark.parametrize(("row", "calls", "rounds"), [(0, "layers * proposers + 1", "layers + 1"), (1, None, None)])
def test_the_formulas_are_what_explain_counts(row: int, calls: str | None, rounds: str | None) -> None:
    cells = table(section(STRATEGY_PAGE, "# Strategies"))[row]
    if calls is None:
        plan = composite_llm.explain(
            "composite/council/openai/gpt-4.1", members=["openai/gpt-4.1"] * 4, reviewers=["openai/gpt-4.1"] * 2
        )
        amounts = {"members": 4, "reviewers": 2}
    else:
        plan = composite_llm.explain("composite/moa/openai/gpt-4.1", proposers=["openai/gpt-4.1"] * 4, layers=3)
        amounts = {"proposers": 4, "layers": 3}
    assert plan.calls == _value(cells[2], amounts)
    assert plan.rounds == _value(cells[3], amounts)


def _value(formula: str, amounts: dict[str, int]) -> int:
    return int(eval(formula.strip("`").replace("\N{MULTIPLICATION SIGN}", "*"), {}, dict(amounts)))


def test_the_errors_table_has_every_error_with_its_code_and_its_litellm_class(provider: None) -> None:
    import litellm

    from composite_llm.backend.litellm_error_classes import to_litellm_error

    rows = {_one_code(row[0]): (int(row[1]), _one_code(row[2])) for row in table(section(FAILURES, "## Errors"))}
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    ours = {found.__name__: found for found in classes if issubclass(found, errors.CompositeError)}
    assert set(rows) | {"CompositeError"} == set(ours)
    for name, (code, theirs) in rows.items():
        error = ours[name].__new__(ours[name], "a sentence")
        error.message = "a sentence"
        assert error.status_code == code, name
        assert isinstance(to_litellm_error(error, "composite/moa/x"), getattr(litellm.exceptions, theirs)), name


def test_every_degraded_code_is_explained_and_no_other() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "composite_llm").rglob("*.py"))
    used = set(re.findall(r'\b_?degrade\(\s*"(\w+)"', sources))
    rows = table(section(FAILURES, "## What departed from the configuration"))
    assert {_one_code(row[0]) for row in rows} == used


def test_every_public_name_is_in_the_table_of_names_and_no_other() -> None:
    cells = "\n".join(row[0] for row in table(section(API, "## Names")))
    assert sorted(codes(cells)) == sorted(f"composite_llm.{name}" for name in composite_llm.__all__)


def test_every_make_target_is_in_the_table_of_commands_and_no_other() -> None:
    cells = "\n".join(row[0] for row in table(section(document("CONTRIBUTING.md"), "## Commands")))
    assert sorted(codes(cells)) == sorted(f"make {name}" for name in make_targets())


def test_the_parameters_of_each_kind_of_call_are_those_of_the_code() -> None:
    rows = [set(codes(row[0])) for row in table(section(OPTIONS, "## Which parameters reach which call"))]
    assert rows[0] - {"metadata"} == set(EVERY_CALL)
    assert rows[1] == set(FINAL_ONLY)
    assert rows[2] == set(CONNECTION)


def test_what_a_client_of_the_proxy_may_set_is_what_the_policy_says() -> None:
    rows = [set(codes(row[1])) for row in table(section(PROXY, "## What a client may set"))]
    assert rows[0] == set(FREE)
    assert rows[1] == set(UP_TO) | {step for steps in UP_TO.values() for step in steps}
    assert rows[2:4] == [set(LOWER_ONLY), set(NEVER)]
    assert f"at most {MAX_CLIENT_NODES}," in PROXY


def test_the_personas_are_those_that_ship() -> None:
    (line,) = (line for line in OPTIONS.splitlines() if line.startswith("The personas that ship:"))
    assert codes(line) == list(personas.PERSONAS)
    (council,) = (line for line in STRATEGY_PAGE.splitlines() if line.startswith("Without `members` three personas"))
    assert codes(council)[1:] == list(personas.ZERO_CONFIGURATION)


def test_the_guards_settings_are_those_of_its_signature(provider: None) -> None:
    import inspect

    parameters = list(inspect.signature(composite_llm.ToolGuard).parameters.values())[1:]
    rows = {
        _one_code(row[0]): row[1] for row in table(section(document("docs/tools.md"), "## Asking before a tool runs"))
    }
    assert rows == {parameter.name: _shown(parameter.default) for parameter in parameters}


def test_what_register_takes_is_named(provider: None) -> None:
    import inspect

    (row,) = (row for row in table(section(API, "## Names")) if row[0] == "`composite_llm.register`")
    assert codes(row[1]) == list(inspect.signature(composite_llm.register).parameters)


def test_the_supported_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = (found for found in project["dependencies"] if found.startswith("litellm"))
    lowest = requirement.removeprefix("litellm>=")
    assert f"LiteLLM from {lowest} on" in document("docs/getting-started.md")


def test_the_design_has_a_line_for_everything_at_the_top_of_the_package() -> None:
    package = ROOT / "composite_llm"
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    modules = {path.name for path in package.glob("*.py")}
    named = "\n".join(row[0] for row in table(section(document("DESIGN.md"), "## Folder by folder")))
    assert set(codes(named)) - {"fake_server/"} == folders | modules


@pytest.mark.parametrize("name", documents())
def test_links_lead_somewhere(name: str) -> None:
    text = document(name)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("name", documents())
def test_prose_has_one_sentence_on_a_line(name: str) -> None:
    prose = re.sub(r"```.*?```", "", document(name), flags=re.DOTALL)
    # A list's item, a table's row and the bold words that open a paragraph may hold more.
    lines = [line for line in prose.splitlines() if not re.match(r"[|#-]|\d+\. ", line)]
    crowded = [line for line in lines if re.search(r"[.!?] [A-Z`]", line)]
    assert not crowded


def test_the_page_on_strategies_has_the_strategy_that_is_tested_as_one_of_a_users_own() -> None:
    shown = section(document("CONTRIBUTING.md"), "## Add a strategy")
    assert f"```python\n{(ROOT / 'tests/support/debate.py').read_text(encoding='utf-8')}```" in shown
