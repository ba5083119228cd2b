from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from composite_llm.backend.inline_reasoning import Said, ThoughtSplitter, split_thoughts

ANSWER = "It is 42."
HM = "Perhaps 41; no."

FORMS = {
    "think": f"<think>{HM}</think>{ANSWER}",
    "blank line before": f"\n\n<think>\n{HM}\n</think>\n\n{ANSWER}",
    "capitals": f"<Think>{HM}</THINK>{ANSWER}",
    "thinking": f"<thinking>{HM}</thinking>\n{ANSWER}",
    "thought": f"<thought>{HM}</thought> {ANSWER}",
    "reasoning": f"<reasoning>\n{HM}\n</reasoning>\n{ANSWER}",
    "Seed": f"<seed:think>{HM}</seed:think>{ANSWER}",
    "Magistral": f"[THINK]{HM}[/THINK]{ANSWER}",
    "Kimi-VL": f"◁think▷{HM}◁/think▷{ANSWER}",
    "Cohere": f"<|START_THINKING|>{HM}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "Sky-T1": f"<|begin_of_thought|>{HM}<|end_of_thought|>\n<|begin_of_solution|>{ANSWER}<|end_of_solution|>",
    "Gemma": f"<|channel>thought\n{HM}<channel|>{ANSWER}",
    "Hunyuan": f"<think>\n{HM}\n</think>\n<answer>{ANSWER}</answer>",
    "harmony": f"<|channel|>analysis<|message|>{HM}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "harmony to its last token": (
        f"<|start|>assistant<|channel|>analysis<|message|>{HM}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>"
    ),
    "harmony for JSON": (
        f"<|channel|>analysis<|message|>{HM}<|end|>"
        f"<|start|>assistant<|channel|>final <|constrain|>json<|message|>{ANSWER}"
    ),
    "harmony without special tokens": f"analysis{HM}assistantfinal{ANSWER}",
    "twice": f"<think>{HM}</think>\n<think>Well.</think>{ANSWER}",
}
# The template has put the first mark into the prompt.
UNOPENED = {
    "own line": f"{HM}\n</think>\n\n{ANSWER}",
    "nothing around": f"{HM}</think>{ANSWER}",
    "blank around": f"{HM} </think> {ANSWER}",
    "end of line": f"{HM}</think>\n{ANSWER}",
    "nothing before": f"</think>\n\n{ANSWER}",
    "Magistral": f"{HM}[/THINK]{ANSWER}",
    "thinking": f"{HM}\n</thinking>\n{ANSWER}",
    "harmony": f"{HM}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
}
NO_THOUGHTS = {
    "plain": ANSWER,
    "blank": "",
    "indented": f"    {ANSWER}",
    "in backticks": "Qwen writes `<think>` and `</think>` around them.",
    "in backticks at the start": "`<think>` begins them, `</think>` ends them.",
    "in a block of code": "Like this:\n```\nhm\n</think>\n\nanswer\n```\n",
    "in quotes": 'Some write "<think>hm</think>" and others "[THINK]…[/THINK]" in front.',
    "one in a sentence": "The mark </think> ends them.",
    "one at a sentence's end": "They end with </think>.",
    "one in parentheses": "They end somewhere (</think>) and the answer begins.",
    "both in a sentence": "Between <think> and </think> stand thoughts.",
    "later in the text": f"{ANSWER}\n<think>was I right?</think>\nYes.",
    "another tag": "<table><tr><td>think</td></tr></table>",
    "begins like one": "<thin ice>",
    "an unclosed bracket": "[THI",
    "analysis": "analysis of the text shows nothing.",
    "Analysis with a capital behind": "analysisXY is a variable.",
    "harmony in backticks": "gpt-oss writes `<|channel|>final<|message|>` first.",
}


def named(cases: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in cases.items()])


def in_pieces(pieces: list[str], **options: bool) -> Said:
    splitter = ThoughtSplitter(**options)
    said = [*(splitter.feed(piece) for piece in pieces), splitter.close()]
    return Said("".join(s.thoughts for s in said), "".join(s.answer for s in said))


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@named(FORMS)
def test_thoughts_in_front_are_told_from_the_answer(text: str) -> None:
    said = split_thoughts(text)
    assert said.answer == ANSWER
    assert HM in said.thoughts


@named(FORMS)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_in_pieces_of_any_size_they_are_told_apart_in_the_same_way(text: str, size: int) -> None:
    assert in_pieces(cut(text, size)) == split_thoughts(text)


@named(UNOPENED)
def test_thoughts_without_their_first_mark_are_found_in_a_whole_answer(text: str) -> None:
    said = split_thoughts(text)
    assert said.answer == ANSWER
    assert "think" not in said.thoughts.lower()


@named(UNOPENED)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_in_pieces_they_are_found_where_the_model_is_known_for_it(text: str, size: int) -> None:
    assert in_pieces(cut(text, size), unopened=True) == split_thoughts(text)


@named(NO_THOUGHTS)
def test_an_answer_without_thoughts_keeps_every_letter(text: str) -> None:
    assert split_thoughts(text) == Said("", text)
    for options in ({}, {"unopened": True}):
        for size in (1, 3, 1000):
            assert in_pieces(cut(text, size), **options) == Said("", text)


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nFirst I have to see whether",
        "<think>",
        "[THINK]First",
        "<|channel|>analysis<|message|>First",
        "First I see.\n</think>",
        "<think>First</think>\n\n",
        "<think>First</thi",
    ],
)
def test_who_is_cut_off_within_thoughts_has_given_no_answer(text: str) -> None:
    assert split_thoughts(text).answer == ""


def test_an_answer_without_thoughts_is_passed_on_as_it_comes() -> None:
    splitter = ThoughtSplitter()
    assert [splitter.feed(piece).answer for piece in ("It", " is", " <think>", " 42.")] == [
        "It",
        " is",
        " <think>",
        " 42.",
    ]


def test_thoughts_are_passed_on_as_they_come() -> None:
    splitter = ThoughtSplitter()
    assert [splitter.feed(piece) for piece in ("<thi", "nk>", "Per", "haps", "</", "b>")] == [
        Said("", ""),
        Said("", ""),
        Said("Per", ""),
        Said("haps", ""),
        Said("", ""),
        Said("</b>", ""),
    ]


def test_white_space_alone_is_nothing() -> None:
    assert split_thoughts("\n  \n") == in_pieces(["\n", "  ", "\n"]) == Said("", "")


def test_white_space_in_front_is_the_answers_own_unless_thoughts_stood_there() -> None:
    assert split_thoughts("\n\n  a") == Said("", "\n\n  a")
    assert split_thoughts("\n\n  a", after_reasoning=True) == Said("", "a")
    assert split_thoughts("<think>x</think>\n\n  a") == Said("x", "a")


@settings(max_examples=500)
@given(
    parts=st.lists(
        st.sampled_from([*"<>[]◁ \n`a", "think", "/", "analysis", "Analysis", "|", "THINK", "channel"])
        | st.text(max_size=3)
    ),
    after_reasoning=st.booleans(),
)
@example(parts=["\x1f"], after_reasoning=False)
def test_a_whole_answer_is_split_as_one_that_comes_in_pieces(parts: list[str], after_reasoning: bool) -> None:
    text = "".join(parts)
    splitter = ThoughtSplitter(after_reasoning=after_reasoning, unopened=not after_reasoning)
    pieces = [splitter.feed(text), splitter.close()]
    expected = Said("".join(piece.thoughts for piece in pieces), "".join(piece.answer for piece in pieces))
    assert split_thoughts(text, after_reasoning=after_reasoning) == expected


def test_several_messages_of_gpt_oss_are_paragraphs_of_one_answer() -> None:
    text = (
        "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
        "<|start|>assistant<|channel|>final<|message|>It is 42."
    )
    assert split_thoughts(text) == Said("hm", "Let me look.\n\nIt is 42.")


MARKS = [
    "<think>",
    "</think>",
    "<thinking>",
    "</thinking>",
    "[THINK]",
    "[/THINK]",
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "<|start|>assistant",
    "<|channel|>final<|message|>",
    "<|return|>",
    "<answer>",
    "</answer>",
    "a",
    "It.",
    "`",
    "```",
    "<",
    "<|",
    "</",
    "analysis",
    "W",
    "assistantfinal",
]
TEXTS = st.lists(st.sampled_from([*MARKS, " ", "\n", "\n\n"]), max_size=10).map("".join)


@st.composite
def _in_pieces(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    places = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=8))})
    return [text[a:b] for a, b in pairwise(places)]


@given(_in_pieces(), st.booleans(), st.booleans())
def test_the_pieces_make_no_difference(pieces: list[str], after_reasoning: bool, unopened: bool) -> None:
    options = {"after_reasoning": after_reasoning, "unopened": unopened}
    text = "".join(pieces)
    assert in_pieces(pieces, **options) == in_pieces([text], **options)
    if unopened is not after_reasoning:
        assert in_pieces(pieces, **options) == split_thoughts(text, after_reasoning=after_reasoning)


@given(_in_pieces())
def test_no_letter_is_said_twice_and_none_but_marks_and_blanks_are_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    said = split_thoughts(text)
    assert len(said.thoughts) + len(said.answer) <= len(text) + 2
    for letter in "aIt":
        assert (said.thoughts + said.answer).count(letter) <= text.count(letter)
    if not any(mark in text for mark in ("think", "THINK", "<|", "analysis")):
        assert said == Said("", text if text.strip() else "")
