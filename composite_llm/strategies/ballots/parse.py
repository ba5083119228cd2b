"""The forms of a ballot, tried one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from composite_llm.model.review_labels import ANSWER_WORDS
from composite_llm.strategies.ballots.ballot import Ballot, Form, Found, declines_outright, is_example, refuses
from composite_llm.strategies.ballots.json_ballot import read_json
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.prose import critiques_in, is_worst_first, longest_run, read_section, sections_of
from composite_llm.strategies.ballots.text import with_latin_letters


def parse_ballot(text: str | None, labels: Sequence[str], *, cut_off: bool = False) -> Ballot:
    """Read a reviewer's text. Never raises, whatever the text.

    Args:
        text: The reviewer's answer; None counts as blank.
        labels: The labels the reviewer was shown, each some words of which the last tells them apart. That last word
            alone ("C") is understood too, but only as a JSON entry, or as an item or link of a chain in a ranking.
        cut_off: A token limit ended the text: what it was still weighing is no vote.

    Returns:
        The ballot; see the package's description for the order in which forms are tried.
    """
    text = with_latin_letters(text or "", labels)
    lexicon = Lexicon(labels, () if _COUNTS_FROM_0.search(text) else ANSWER_WORDS)
    read = read_json(text, lexicon, cut_off=cut_off)
    found = read.found
    form: Form = "json"
    if not found.ranking:
        found, form = Found(lexicon, cut=cut_off), "none"
        if not cut_off:
            found, form = _read_prose(read.prose, lexicon)
        found.problems = read.found.problems | found.problems
    if not found.ranking:
        form = "none"
        found.cut |= read.cut
    reviews = read.reviews or critiques_in(read.prose or text, lexicon)
    return Ballot(tuple(found.ranking), reviews, not found.ranking, form, (*found.notes, *_summary(found, text)))


_COUNTS_FROM_0 = re.compile(r"\b[^\W\d_]{4,12}[ _]0\b")


def _read_prose(text: str, lexicon: Lexicon) -> tuple[Found, Form]:
    """The last section that ranks something; without any section, the longest run of labels."""
    cut = False
    sections = sections_of(text)
    for section in () if declines_outright(text) else reversed(sections):
        if is_example(text, section.start):
            continue
        found = read_section(section, lexicon)
        if found.ranking:
            return found, "final_ranking"
        cut |= found.cut
    found = Found(lexicon, cut=cut)
    # With a heading but nothing usable below it, a list elsewhere is a critique rather than the ranking.
    if not (sections or refuses(text) or is_worst_first(text)):
        found.take(longest_run(text, Lexicon(lexicon.labels)) or _complete_run(text, lexicon))
    return found, "mentions"


def _complete_run(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """A run of labels in other words than their own counts only where it ranks every one of them."""
    run = longest_run(text, lexicon)
    return run if {mention.label for mention in run} == set(lexicon.labels) else ()


def _summary(found: Found, text: str) -> Iterator[str]:
    """The problems of the ballot as a whole."""
    shown = len(found.lexicon.labels)
    if not found.ranking:
        yield _why_nothing(text)
    elif missing := shown - len(found.ranking):
        yield f"{missing} of {shown} candidates unranked"
    if found.cut:
        yield "text cut off"


def _why_nothing(text: str) -> str:
    if not text.strip():
        return "blank text"
    return "refused to rank" if refuses(text) else "no ranking found"
