from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from composite_llm.cli.terminal_text import harmless, rendered
from tests.support.pages import Page


def shown(text: str) -> list[str]:
    page = Page(60, 40)
    page.console.print(rendered(text))
    return page.shown


def test_markdown_is_shown_and_not_its_source() -> None:
    lines = shown("Some **bold** `code`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert lines[0] == "Some bold code"
    assert " • one" in lines
    assert any(line.split() == ["1", "2"] for line in lines)


def test_an_address_is_shown_as_text() -> None:
    # A link that hides where it leads is not clickable.
    assert shown("[here](http://x.example)") == ["here (http://x.example)"]


def test_control_sequences_of_an_answer_do_nothing() -> None:
    text = "a\x1b[2Jb\x1b]0;owned\x07c\x1b]52;c;aGk=\x07d\x9b31me\rf\x08g"
    assert shown(text) == ["a[2Jb]0;ownedc]52;c;aGk=d31mefg"]


@given(st.text())
def test_no_control_character_is_left_but_tab_and_line_feed(text: str) -> None:
    assert all(char in "\t\n" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in harmless(text))
    assert harmless(harmless(text)) == harmless(text)
