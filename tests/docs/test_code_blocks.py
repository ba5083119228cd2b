"""What the documents show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import documents
from tests.docs.running import Reader, lines_not_in


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("name", documents())
def test_every_block_runs_and_prints_what_the_document_shows(name: str, workplace: Path) -> None:
    Reader(name, workplace).read()


@pytest.mark.parametrize(
    ("printed", "shown", "missing"),
    [
        ("a\nb 1.2 s\nc", "a\n…\nb 9.9 s", []),
        ("a\nb", "b\na", ["a"]),
        ("a\nb", "a\nx", ["x"]),
    ],
    ids=["times and cuts do not count", "order counts", "each line must be there"],
)
def test_output_is_compared_line_by_line(printed: str, shown: str, missing: list[str]) -> None:
    assert lines_not_in(printed, shown) == missing
