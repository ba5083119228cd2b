"""What a reader copies: models that will still be served, and councils that can vote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import litellm
import pytest

from composite_llm.cli.keys import PROVIDERS
from tests.docs.blocks import ROOT, blocks, codes, document, documents

_EXAMPLES = (
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "examples").rglob("*"))
    if path.suffix in (".py", ".yaml", ".ipynb", ".md")
)
NAMES = (*documents(), "CONTRIBUTING.md", *_EXAMPLES)
NOTICE = timedelta(days=60)

_WORD = re.compile(r"[A-Za-z0-9][\w.:@/-]*\w")
_MEMBERS = re.compile(r"""\bmembers\\?["']?\s*[:=] *""", re.IGNORECASE)
_ITEM = re.compile(r"\n *- ")


def withdrawn(text: str, table: Mapping[str, Mapping[str, Any]], day: date) -> dict[str, str]:
    """The models in a text that are no longer served on that day, with their last."""
    found = {}
    for word in set(_WORD.findall(text)):
        parts = word.split("/")
        for name in ("/".join(parts[at:]) for at in range(len(parts))):
            last = str(table.get(name, {}).get("deprecation_date", ""))
            if re.fullmatch(r"\d{4}-\d\d-\d\d", last) and date.fromisoformat(last) <= day:
                found[name] = last
    return found


def councils(text: str) -> Iterator[int]:
    """How many members each list of members in a text has, in Python, JSON and YAML."""
    for found in _MEMBERS.finditer(text):
        rest = text[found.end() :]
        if rest.startswith("["):
            yield _in_brackets(rest)
        elif rest.startswith("\n"):
            yield _in_lines(rest)


def _in_brackets(text: str) -> int:
    """Zero where other lists are unpacked into it."""
    depth, items, filled = 0, 0, False
    for letter in text:
        if letter == "*":
            return 0
        depth += (letter in "[{(") - (letter in "]})")
        if depth == 0:
            break
        if depth == 1 and letter == ",":
            items, filled = items + filled, False
        elif letter not in "[ \n":
            filled = True
    return items + filled


def _in_lines(text: str) -> int:
    first = _ITEM.match(text)
    if first is None:
        return 0
    items = 0
    for line in text[1:].splitlines():
        if line.startswith(first.group()[1:]):
            items += 1
        elif len(line) - len(line.lstrip()) < len(first.group()) - 2:
            break
    return items


@pytest.mark.parametrize("name", NAMES)
def test_no_model_that_is_named_is_withdrawn_or_soon_will_be(name: str) -> None:
    text = document(name)
    if name.endswith(".md"):
        # Prose may tell what was measured once.
        text = "\n".join((*(block.text for block in blocks(text)), *codes(text)))
    assert withdrawn(text, litellm.model_cost, date.today() + NOTICE) == {}


def test_nor_is_one_that_the_command_takes_by_itself() -> None:
    taken = " ".join(model for known in PROVIDERS.values() for model in (known.strong, known.small))
    assert withdrawn(taken, litellm.model_cost, date.today() + NOTICE) == {}


@pytest.mark.parametrize("name", NAMES)
def test_no_council_has_two_members_who_cannot_vote(name: str) -> None:
    assert 2 not in councils(document(name))


def test_a_withdrawn_model_is_found_with_and_without_its_provider() -> None:
    table = {
        "gpt-old": {"deprecation_date": "2026-01-31"},
        "here/old": {"deprecation_date": "2025-12-01"},
        "gpt-new": {"deprecation_date": "2027-01-31"},
        "sample_spec": {"deprecation_date": "a day, as YYYY-MM-DD"},
    }
    text = 'ask("composite/moa/openai/gpt-old"), `here/old`, gpt-new; sample_spec'
    assert withdrawn(text, table, date(2026, 1, 31)) == {"gpt-old": "2026-01-31", "here/old": "2025-12-01"}


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ('ask(members=["a", "b"])', [2]),
        ('MEMBERS = [\n    {"model": "a", "fallbacks": ["x", "y"]},\n    "b",\n    "c",\n]', [3]),
        ('{"members": ["a", {"model": "b", "stop": [","]}]}', [2]),
        ('"    \\"members\\": [\\"a\\", \\"b\\"],\\n"', [2]),
        ("members: [a, b, c]", [3]),
        ("council:\n  members:\n    - a\n    - model: b\n      fallbacks:\n        - c\n  reviewers:\n    - d\n", [2]),
        ("members:\n- a\n- b\n- c\nseed: 1\n", [3]),
        ("members=[*FIRST, second]", [0]),
        ("the members rank each other", []),
    ],
)
def test_a_council_is_found_however_it_is_written(text: str, sizes: list[int]) -> None:
    assert list(councils(text)) == sizes
