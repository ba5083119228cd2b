"""Takes a model's thoughts out of its answer where its server does not: they stand in front of it, in its template's form.

An answer that speaks of such marks, later in its text or in quotes, keeps every word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import regex

_NAMES = r"think|thinking|thoughts?|reasoning|seed:think|mm:think|budget:thinking|antthinking"
_CLOSING = rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>"
_HARMONY_HEAD = r"<\|channel\|>\s*(?P<channel>\w+)[^<]{0,200}(?:<\|constrain\|>[^<]{0,20})?<\|message\|>"
_HARMONY_END = r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)"

_OPENING = rf"""
      <(?P<tag>{_NAMES})>
    | (?P<magistral>\[THINK\])
    | (?P<kimi_vl>◁think▷)
    | (?P<cohere><\|START_THINKING\|>)
    | (?P<sky><\|begin_of_thought\|>)
    | (?P<gemma><\|channel>thought)
    | (?:<\|start\|>assistant\s*)?{_HARMONY_HEAD}
    | (?P<bare_harmony>(?-i:analysis(?=[A-Z])))
    | (?P<unopened>{_CLOSING})
"""
_WRAPPER = r"<(?P<wrapper>answer)>|(?P<cohere_answer><\|START_RESPONSE\|>)|(?P<sky_answer><\|begin_of_solution\|>)"


def _pattern(source: str) -> regex.Pattern[str]:
    return regex.compile(source, regex.IGNORECASE | regex.DOTALL | regex.VERBOSE)


_FIRST = _pattern(rf"\s*(?:{_OPENING})")
_NEXT = _pattern(rf"\s*(?:{_OPENING} | {_WRAPPER})")
_END_OF = {
    "magistral": _pattern(r"\[/THINK\]"),
    "kimi_vl": _pattern("◁/think▷"),
    "cohere": _pattern(r"<\|END_THINKING\|>"),
    "sky": _pattern(r"<\|end_of_thought\|>"),
    "gemma": _pattern(r"<channel\|>"),
    "channel": _pattern(_HARMONY_END),
    "wrapper": _pattern("</answer>"),
    "cohere_answer": _pattern(r"<\|END_RESPONSE\|>"),
    "sky_answer": _pattern(r"<\|end_of_solution\|>"),
}
_END_OF_TAG = {name: _pattern(f"</{name}>") for name in _NAMES.replace("thoughts?", "thought|thoughts").split("|")}
_BARE_HARMONY_ANSWER = _pattern(r"assistant\s*(?:final|commentary)(?-i:(?=[^a-z]|$))")
_LATER = _pattern(rf"(?P<closing>{_CLOSING}) | (?P<end>(?:<\|end\|>)?)\s*(?:<\|start\|>assistant\s*)?{_HARMONY_HEAD}")
_CLOSING_ALONE = _pattern(rf"\s*(?:{_CLOSING})\s*")
_OPENING_MARK = _pattern(_OPENING.partition("| (?P<bare_harmony>")[0])

# What every mark begins with; and text that is but space, as `str` understands it, which is no answer.
_MAY_HOLD_MARKS = regex.compile(r"[<\[◁]|\A\s*analysis[A-Z]|\A[\s\x1c-\x1f]*\Z")

_LONGEST_MARK = 400

_QUOTES = "\"'`“”‘’«»()[]{}"
_PUNCTUATION = ".,;:!?"


class Said(NamedTuple):
    """What a model said, its thoughts apart from its answer."""

    thoughts: str
    answer: str


def split_thoughts(text: str, *, after_reasoning: bool = False) -> Said:
    """The thoughts in front of a whole answer, and the answer.

    Args:
        text: As the model wrote it.
        after_reasoning: Whether the server has told reasoning apart already.
    """
    if _MAY_HOLD_MARKS.search(text) is None and not (after_reasoning and text[0].isspace()):
        return Said("", text)
    splitter = ThoughtSplitter(after_reasoning=after_reasoning, unopened=not after_reasoning)
    said, rest = splitter.feed(text), splitter.close()
    return Said(said.thoughts + rest.thoughts, said.answer + rest.answer)


def begins_unopened(text: str) -> bool:
    """Whether a whole answer begins with thoughts that nothing marks: the template puts the first mark into the prompt."""
    return _FIRST.match(text) is None and _unopened_end(text) is not None


def is_closing_mark(text: str) -> bool:
    """Whether a piece of an answer is a mark that ends thoughts and nothing else; most models say it in one token."""
    return _CLOSING_ALONE.fullmatch(text) is not None


def _unopened_end(text: str) -> tuple[int, int] | None:
    """Where the mark stands that ends thoughts whose beginning was not marked; None where it is only spoken of."""
    mark = _LATER.search(text)
    if mark is None:
        return None
    before, after = text[: mark.start()], text[mark.end() :]
    if _OPENING_MARK.search(before) or _in_code(before):
        return None
    if mark["closing"] is None:
        # The answer's own head follows, and is still to be read.
        return mark.start("end"), mark.end("end")
    return (mark.start(), mark.end()) if _ends_thoughts(before, after) else None


def _in_code(before: str) -> bool:
    return before.count("```") % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1


def _ends_thoughts(before: str, after: str) -> bool:
    """Whether a mark between these texts ends what stands before it, rather than being spoken of in a sentence."""
    left, right = before[-1:], after[:1]
    if (left and left in _QUOTES) or (right and right in _QUOTES + _PUNCTUATION):
        return False
    if left in ("", "\n"):
        return True
    return not left.isspace() or before.rstrip()[-1:] in (".", "!", "?", "…", "。")


class _Step(NamedTuple):
    """What became known; `wait` when nothing more can before the next piece comes."""

    thoughts: str = ""
    answer: str = ""
    wait: bool = False


_WAIT = _Step(wait=True)


class ThoughtSplitter:
    """The same for a text that comes in pieces, whatever the pieces.

    Thoughts whose beginning is not marked are found only where that is known beforehand: what was passed on as answer
    cannot be taken back.

    Args:
        after_reasoning: Whether the server tells reasoning apart already.
        unopened: Whether this model is known to leave out the first mark; then nothing is an answer before the second.

    Attributes:
        found: Whether there was a mark.
    """

    def __init__(self, *, after_reasoning: bool = False, unopened: bool = False) -> None:
        self.found = False
        self._after_thoughts = after_reasoning
        self._state: _State = "unopened" if unopened else "opening"
        self._end = _END_OF_TAG["think"]
        self._buffer = ""
        self._searched = 0
        # gpt-oss may say several messages to the user in one answer.
        self._spoken = False
        self._break = ""

    @property
    def answering(self) -> bool:
        """Whether all that follows is the answer."""
        return self._state == "answer"

    def note_reasoning(self) -> None:
        """The server has told reasoning apart."""
        self._after_thoughts = True
        if self._state == "unopened":
            self._state = "opening"

    def feed(self, text: str) -> Said:
        """Take a piece; what is known now of it and of the pieces before it."""
        if self._state == "answer":
            return Said("", text)
        self._buffer += text
        return self._said(whole=False)

    def close(self) -> Said:
        """The thoughts are over, marked or not; what was held back until now. Whatever follows is the answer."""
        said = self._said(whole=True)
        self._state = "answer"
        return said

    def _said(self, *, whole: bool) -> Said:
        thoughts, answer = "", ""
        while self._buffer:
            step = _STEPS[self._state](self, whole)
            thoughts += step.thoughts
            answer += step.answer
            if step.wait:
                break
        return Said(thoughts, answer)

    def _opening(self, whole: bool) -> _Step:
        if self._after_thoughts or (whole and self._buffer.isspace()):
            self._buffer = self._buffer.lstrip()
            if not self._buffer:
                return _WAIT
        mark = (_NEXT if self._after_thoughts else _FIRST).match(self._buffer, partial=not whole)
        if mark is None:
            self._state = "answer"
            return _Step()
        if mark.partial:
            return _WAIT
        self.found = self._after_thoughts = True
        self._buffer = self._buffer[mark.end() :]
        self._enter(mark)
        return _Step()

    def _enter(self, mark: regex.Match[str]) -> None:
        form = str(mark.lastgroup)
        if form == "tag":
            self._state, self._end = "thoughts", _END_OF_TAG[mark["tag"].lower()]
        elif form == "bare_harmony":
            self.found, self._state = False, "bare_harmony"
        elif form != "unopened":
            answers = form in _ANSWERS or (form == "channel" and mark["channel"].lower() != "analysis")
            self._state, self._end = "wrapped" if answers else "thoughts", _END_OF[form]
            self._break = "\n\n" if self._spoken else ""

    def _thoughts(self, whole: bool) -> _Step:
        thoughts, end = self._until_end(whole)
        if end is None:
            return _Step(thoughts=thoughts, wait=True)
        self._state = "opening"
        return _Step(thoughts=thoughts)

    def _wrapped(self, whole: bool) -> _Step:
        text, end = self._until_end(whole)
        if text:
            text, self._break, self._spoken = self._break + text, "", True
        if end is None:
            return _Step(answer=text, wait=True)
        self._state = "opening"
        return _Step(answer=text)

    def _until_end(self, whole: bool) -> tuple[str, regex.Match[str] | None]:
        end = self._end.search(self._buffer, partial=not whole)
        if end is None:
            text, self._buffer = self._buffer, ""
            return text, None
        text = self._buffer[: end.start()]
        if end.partial:
            self._buffer = self._buffer[end.start() :]
            return text, None
        self._buffer = self._buffer[end.end() :]
        return text, end

    def _unopened(self, whole: bool) -> _Step:
        opening = _FIRST.match(self._buffer, partial=not whole)
        if opening is not None:
            if opening.partial:
                return _WAIT
            self._state = "opening"
            return _Step()
        mark = _LATER.search(self._buffer, self._searched)
        if not whole and (mark is None or mark.end() == len(self._buffer)):
            # What follows the mark shows whether it is only spoken of.
            return self._wait_on()
        end = _unopened_end(self._buffer)
        self._state = "opening"
        if end is None:
            return _Step()
        thoughts, self._buffer = self._buffer[: end[0]], self._buffer[end[1] :]
        self.found = self._after_thoughts = True
        return _Step(thoughts=thoughts)

    def _bare_harmony(self, whole: bool) -> _Step:
        mark = _BARE_HARMONY_ANSWER.search(self._buffer, self._searched, partial=not whole)
        if mark is None:
            self._state, self._buffer = "answer", "analysis" + self._buffer
            return _Step()
        if mark.partial:
            return self._wait_on()
        thoughts, self._buffer = self._buffer[: mark.start()], self._buffer[mark.end() :]
        self.found, self._state = True, "opening"
        return _Step(thoughts=thoughts)

    def _wait_on(self) -> _Step:
        self._searched = max(0, len(self._buffer) - _LONGEST_MARK)
        return _WAIT

    def _answer(self, _whole: bool) -> _Step:
        text, self._buffer = self._buffer, ""
        return _Step(answer=text)


_State = Literal["unopened", "opening", "thoughts", "bare_harmony", "wrapped", "answer"]
_STEPS: dict[_State, Callable[[ThoughtSplitter, bool], _Step]] = {
    "unopened": ThoughtSplitter._unopened,
    "opening": ThoughtSplitter._opening,
    "thoughts": ThoughtSplitter._thoughts,
    "bare_harmony": ThoughtSplitter._bare_harmony,
    "wrapped": ThoughtSplitter._wrapped,
    "answer": ThoughtSplitter._answer,
}
_ANSWERS = frozenset({"wrapper", "cohere_answer", "sky_answer"})
