from __future__ import annotations

import pytest
from rich.text import Text

from composite_llm.cli.screen import Frame
from tests.support.pages import Page


def lines(word: str, count: int) -> Text:
    return Text("\n".join(f"{word} {number}" for number in range(1, count + 1)))


def test_a_frame_replaces_the_one_before_it() -> None:
    page = Page()
    page.console.print("before")
    frame = Frame(page.console)
    frame.draw(lines("row", 3))
    frame.draw(lines("line", 2))
    assert page.shown == ["before", "line 1", "line 2"]


def test_what_is_printed_after_an_erased_frame_stands_in_its_place() -> None:
    page = Page()
    page.console.print("before")
    frame = Frame(page.console)
    frame.draw(lines("row", 3), lines("text", 2))
    assert page.cursor_is_hidden
    frame.erase()
    page.console.print("after")
    assert page.shown == ["before", "after"]
    assert not page.cursor_is_hidden


def test_erasing_nothing_writes_nothing() -> None:
    page = Page()
    page.console.print("before")
    frame = Frame(page.console)
    frame.erase()
    page.console.print("after")
    assert page.shown == ["before", "after"]


def test_below_the_head_the_end_of_a_long_text_is_shown() -> None:
    page = Page(40, 12)
    Frame(page.console).draw(lines("row", 3), lines("text", 50))
    # Twelve lines: one stays free for the cursor, and one is between the two.
    assert page.shown == ["row 1", "row 2", "row 3", *(f"text {number}" for number in range(43, 51))]


def test_in_a_low_window_the_text_gets_half_of_it() -> None:
    page = Page(40, 9)
    Frame(page.console).draw(lines("row", 20), lines("text", 50))
    assert page.shown == [
        *(f"row {number}" for number in range(17, 21)),
        *(f"text {number}" for number in range(47, 51)),
    ]


def test_a_long_frame_drawn_many_times_leaves_nothing_in_the_scrollback() -> None:
    page = Page(40, 10)
    frame = Frame(page.console)
    for length in range(1, 60):
        frame.draw(lines("row", 2), lines("text", length))
    assert page.scrolled_away == []
    assert page.shown[:2] == ["row 1", "row 2"]
    assert page.shown[-1] == "text 59"


@pytest.mark.parametrize("columns", [60, 30], ids=["wider", "narrower"])
def test_after_a_resize_the_screen_shows_one_frame(columns: int) -> None:
    page = Page(40, 12)
    page.console.print("before")
    frame = Frame(page.console)
    frame.draw(Text("-" * 38 + "\n" + "=" * 20))
    page.resize(columns, 12)
    frame.draw(lines("row", 3))
    assert page.shown[-3:] == ["row 1", "row 2", "row 3"]
    assert not any("-" in line or "=" in line for line in page.shown)
    assert "before" in [*page.scrolled_away, *page.shown]
