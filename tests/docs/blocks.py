"""The code blocks of a Markdown document, and the tables in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ ", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        language: The word behind the fence.
        text: What is inside.
        line: Line of the first line inside, from 1.
    """

    language: str
    text: str
    line: int

    @property
    def file_name(self) -> str | None:
        """The name in a first line such as `# composite.yaml`, if there is one."""
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found.group(1) if found else None


def document(name: str) -> str:
    """A document's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[str]:
    """The names of all documents that this folder tests."""
    names = ["README.md", "DESIGN.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]
    return [name for name in names if (ROOT / name).is_file()]


def blocks(text: str) -> list[Block]:
    """All fenced blocks, in order."""
    return [
        Block(found.group(1), found.group(2), text.count("\n", 0, found.start()) + 2) for found in _FENCE.finditer(text)
    ]


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next heading of any level."""
    _, found, after = f"\n{text}".partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    end = _HEADING.search(_without_blocks(after))
    return after[: end.start()] if end else after


def _without_blocks(text: str) -> str:
    """The text with each block blanked out, at its length: a comment in it looks like a heading."""
    return _FENCE.sub(lambda found: " " * len(found.group()), text)


def table(text: str) -> list[list[str]]:
    """The cells of a section's first table, without its head."""
    lines = text.split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]])
    return rows


def codes(text: str) -> list[str]:
    """What stands between backticks."""
    return _CODE.findall(text)
