from __future__ import annotations

import re
from typing import Any

import pytest

from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Trace
from composite_llm.picture import page
from composite_llm.picture.limits import PAGE, Limits, ends_of, shortened
from tests.support.html_outline import outline
from tests.support.runs_to_show import council, mixture, with_tools


def said(trace: Trace, **limits: Any) -> str:
    return outline(page(trace, limits=Limits(**limits))).text


def many(number: int) -> Trace:
    first, last = mixture().calls[0], mixture().calls[-1]
    calls = [first.model_copy(update={"id": f"c{index}", "name": f"member {index}."}) for index in range(number)]
    return mixture().model_copy(update={"calls": [*calls, last]})


def test_of_too_many_calls_the_first_and_the_last_are_shown_and_the_gap_is_said() -> None:
    text = said(many(1000))
    assert "member 0." in text
    assert "member 999." in text
    assert "chief" in text
    assert "member 600." not in text
    assert "601 calls (601 ok) not shown; their tokens and money are in the sums." in text
    assert "601 calls not shown." in text


def test_a_long_answer_is_cut_and_the_cut_is_said() -> None:
    call = mixture().calls[-1].model_copy(update={"content": "x" * 100_001})
    text = said(mixture().model_copy(update={"calls": [call]}))
    assert "100,001 characters" in text
    assert "The first 60,000 of 100,001 characters; the rest is in the trace." in text
    assert len(re.findall("x{60000}", text)) == 1


def test_many_long_answers_share_the_page() -> None:
    calls = [call.model_copy(update={"content": "x" * 50_000}) for call in many(1000).calls]
    assert len(page(mixture().model_copy(update={"calls": calls}))) < 7_000_000


@pytest.mark.parametrize(
    ("trace", "note"),
    [
        (
            with_tools().model_copy(update={"tool_calls": with_tools().tool_calls * 4}),
            "5 further tool calls not shown.",
        ),
        (council(), "3 further answers not shown."),
        (council(), "3 further ballots not shown."),
        (mixture().model_copy(update={"degraded": [Degradation("x", str(n)) for n in range(9)]}), "6 more not shown."),
        (mixture(), "4 further models not shown."),
        (mixture().model_copy(update={"notes": list("abcdefg")}), "4 more not shown."),
    ],
)
def test_what_a_list_leaves_out_is_said(trace: Trace, note: str) -> None:
    assert note in said(trace, lines=3, tool_calls=3)


def test_lists_keep_their_ends() -> None:
    assert ends_of(5, 5) == (range(5), range(0))
    head, tail = ends_of(1000, 400)
    assert (len(head) + len(tail), head.start, tail.stop) == (400, 0, 1000)


@pytest.mark.parametrize(("label", "shown"), [("a  b\nc", "a b c"), ("abcdefgh", "abcd\u2026"), ("", "")])
def test_labels_are_one_short_line(label: str, shown: str) -> None:
    assert shortened(label, 5) == shown


def test_texts_keep_a_few_lines_however_many_there_are() -> None:
    assert PAGE.text_share(many(1)) == 60_000
    assert Limits(all_texts=10).text_share(many(100)) == 1_000
