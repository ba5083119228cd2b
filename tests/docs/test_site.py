"""The documentation site has every page, and no page leads out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import composite_llm
import composite_llm.evaluate
import composite_llm.strategies
import composite_llm.work
from composite_llm.model import errors
from tests.docs.blocks import ROOT, document

DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
ERRORS = {name for name in vars(errors) if name != "CompositeError"}
_LINK = re.compile(r"\]\(([^)\s#]+)")


def _listed(entries: Any) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
        return
    for entry in entries.values() if isinstance(entries, dict) else entries:
        yield from _listed(entry)


def test_the_navigation_has_every_page_once_and_no_other() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(_listed(config["nav"])) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_part_of_the_site(page: str) -> None:
    for target in _LINK.findall(document(f"docs/{page}")):
        if not target.startswith("http"):
            assert (DOCS / page).parent.joinpath(target).resolve().is_relative_to(DOCS), target


@pytest.mark.parametrize(
    ("module", "page"),
    [
        (composite_llm, "api.md"),
        (composite_llm.evaluate, "reference/evaluate.md"),
        (composite_llm.strategies, "reference/strategies.md"),
        (composite_llm.work, "reference/work.md"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_reference_has_an_entry_for_every_public_name(module: ModuleType, page: str) -> None:
    """But for what has no docstring for users, and the package's errors, which are in a table."""
    entries = re.findall(rf"^::: {module.__name__}\.(\w+)$", document(f"docs/{page}"), re.MULTILINE)
    left_out = {"handler", "strategy_for", *(ERRORS if module is composite_llm else ())}
    assert sorted(entries) == sorted(set(module.__all__) - left_out)


def test_the_locks_hold_no_address_of_an_index() -> None:
    for lock in Path(ROOT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        assert "--index" not in text, lock.name
