"""The table of private names: what it finds, and that nothing private is used beside it."""

from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import composite_llm
from composite_llm.backend import compat
from composite_llm.backend.compat import Called, PrivateName

PACKAGE = Path(composite_llm.__file__).parent
DOCUMENTED = {
    "litellm.types.utils",
    "litellm.integrations.custom_logger",
    "litellm.exceptions",
    "litellm.caching.caching",
}
"""Modules that LiteLLM's documentation imports from."""


class Kept:
    """Has an attribute of each kind."""

    def __init__(self) -> None:
        self.set_here = None
        self.begin()

    def begin(self) -> None:
        self.set_later = 1

    def method(self, one: int, *, named: int) -> int:
        return one + named


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    made: Any = ModuleType("private_for_a_test")
    made.Kept, made.function, made.nothing = Kept, lambda one, *, named=0: one + named, None
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def name_of(*names: str, owner: str = "private_for_a_test", called: Called | None = None) -> PrivateName:
    return PrivateName(owner, names, "nothing is lost", called)


def test_a_name_that_is_there_is_found_by_whichever_of_its_names_is(module: Any) -> None:
    assert name_of("gone", "function").get() is module.function
    assert not name_of("nothing").is_missing()
    assert name_of("gone").get() is None
    assert name_of("gone").is_missing()
    assert name_of("gone", owner="no_such_module").is_missing()


@pytest.mark.parametrize(
    ("called", "is_missing"),
    [(Called(1), False), (Called(1, ("named",)), False), (Called(2), True), (Called(1, ("x",)), True)],
)
def test_a_function_that_is_called_otherwise_is_missing(module: Any, called: Called, is_missing: bool) -> None:
    function = name_of("function", called=called)
    assert (function.get() is None, function.is_missing()) == (is_missing, is_missing)


def test_what_instances_have_is_found_on_them_and_known_of_their_class(module: Any) -> None:
    owner = "private_for_a_test:Kept"
    for attribute in ("set_here", "set_later"):
        assert not name_of(attribute, owner=owner).is_missing()
    assert name_of("gone", owner=owner).is_missing()
    assert name_of("set_later", owner=owner).of(Kept()) == 1
    method = name_of("method", owner=owner, called=Called(1, ("named",)))
    assert method.of(Kept())(1, named=2) == 3
    assert not method.is_missing()
    other = name_of("method", owner=owner, called=Called(3))
    assert other.of(Kept()) is None
    assert other.is_missing()


def test_a_release_that_does_not_have_it_yet_or_needs_it_no_more_does_not_miss_it() -> None:
    release = ".".join(map(str, compat.release_of("pydantic")))
    assert not PrivateName("pydantic", ("gone",), "", since="99.0").is_missing()
    assert not PrivateName("pydantic", ("gone",), "", until=release).is_missing()
    assert PrivateName("pydantic", ("gone",), "", since=release).is_missing()


def test_each_missing_name_is_told_once_with_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = PrivateName("threading", ("gone",), "threads never end")
    monkeypatch.setattr(compat, "NAMES", (gone,))
    with caplog.at_level(logging.WARNING, "composite_llm"):
        compat.warn_of_missing(routed=False)
        compat.warn_of_missing(routed=True)
    release = ".".join(map(str, sys.version_info[:3]))
    assert caplog.messages == [f"threading {release} has no threading.gone as this package knows it: threads never end"]


def private_uses(tree: ast.AST) -> Iterator[str]:
    """Imports from LiteLLM's and the SDK's undocumented modules, and private attributes of what is not one's own."""
    checked_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in checked_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.startswith("litellm.") and node.module not in DOCUMENTED:
                yield f"from {node.module}"
            if node.module.split(".")[0] in ("openai", "httpx", "aiohttp") and "._" in node.module:
                yield f"from {node.module}"
            if node.module.split(".")[0] in ("litellm", "openai") and any(
                one.name.startswith("_") for one in node.names
            ):
                yield f"from {node.module} import _"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            yield f".{node.attr}"


def own_names(tree: ast.AST) -> set[str]:
    """Private names that a file defines, on whatever object."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    return defined


_TOLD = {"._hidden_params"}
"""LiteLLM's documentation names it."""


def test_nothing_private_of_others_is_used_beside_the_table() -> None:
    trees = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "compat.py"}
    ours = {f".{name}" for tree in trees.values() for name in own_names(tree)}
    used = {
        f"{path.relative_to(PACKAGE)}: {use}"
        for path, tree in trees.items()
        for use in private_uses(tree)
        if use not in ours | _TOLD
    }
    assert sorted(used) == []


def test_no_name_of_the_table_is_written_out_elsewhere() -> None:
    private = {one for name in compat.NAMES for one in name.names if one.startswith("_")}
    written = {
        f"{path.relative_to(PACKAGE)}: {node.value}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "compat.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in private
    }
    assert sorted(written) == []
