from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.picture.markup import element, escaped, joined, literal, visible
from tests.support.html_outline import outline


def test_a_string_is_text_and_markup_is_markup() -> None:
    inner = element("b", "<i>")
    assert element("p", "a & b", inner, None).source == "<p>a &amp; b<b>&lt;i&gt;</b></p>"
    assert joined([inner, "<"]).source == "<b>&lt;i&gt;</b>&lt;"
    assert literal("<hr>").source == "<hr>"


def test_attributes_are_quoted_and_their_names_are_pythons_without_its_limits() -> None:
    made = element("td", class_='a"b', aria_label="x'>", colspan=2, open=True, hidden=False, title=None)
    assert made.source == '<td class="a&quot;b" aria-label="x&#x27;&gt;" colspan="2" open></td>'


def test_elements_without_contents_close_themselves() -> None:
    assert element("rect", x=1).source == '<rect x="1"/>'


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_a_parser_reads_back_every_text_and_every_attribute(text: str, attribute: str) -> None:
    found = outline(element("p", text, aria_label=attribute).source)
    assert found.tags == ["p aria-label", "/p"]
    assert found.said == [visible(attribute), *([visible(text)] if text else [])]


@given(st.text(st.characters(codec=None)))
def test_whatever_is_escaped_can_be_written_as_utf_8(text: str) -> None:
    assert not set("<>\"'") & set(escaped(text).encode().decode())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x00\x1b[31m\x7f", "\u2400\u241b[31m\u2421"),
        ("\u202egnp.exe\u202c", "\u27e8U+202E\u27e9gnp.exe\u27e8U+202C\u27e9"),
        ("\u2066x\u2069", "\u27e8U+2066\u27e9x\u27e8U+2069\u27e9"),
        ("\u05e9\u200f!", "\u05e9\u200f!"),
        ("\x9b", "\u27e8U+009B\u27e9"),
        ("\ud800", "\ufffd"),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
    ],
)
def test_controls_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown
