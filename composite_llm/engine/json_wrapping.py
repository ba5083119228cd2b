"""JSON that a model was asked for and has wrapped up: a fence around it, or a sentence before or behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

LONGEST_SENTENCE = 200
"""Characters before and behind the JSON that are taken for its wrapping."""

_WHOLE_FENCE = re.compile(r"\s*(```+|~~~+)[^\n`]*\n(?P<inside>.*?)\n?\s*\1\s*", re.DOTALL)
_FENCE_MARK = re.compile(r"(?:```+|~~~+)[ \t]*[\w+-]*")
# Words of sentences that show a form, or decline to fill it in.
_NO_ANSWER = re.compile(
    r"\b(?:would|could|example|e\.g|template|cannot|can't|can’t|won't|won’t|unable|sorry|decline|refuse)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…][\"')\]]*\s+\S|[。\uff01\uff1f]\s*\S|\n\s*\n\s*\S")

_decode = json.JSONDecoder().raw_decode


def wants_json(response_format: Any) -> bool:
    """Whether an answer in this format is JSON."""
    if isinstance(response_format, type):
        return issubclass(response_format, BaseModel)
    return isinstance(response_format, Mapping) and response_format.get("type") in ("json_object", "json_schema")


def wants_object(response_format: Any) -> bool:
    """Whether that JSON can only be an object."""
    if isinstance(response_format, type) or response_format.get("type") == "json_object":
        return True
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    return isinstance(schema, Mapping) and schema.get("type") == "object"


def unwrapped(text: str, satisfies: Callable[[str], bool]) -> str:
    """The JSON that a text wraps, as the model wrote it; the text itself where it is JSON, or wraps none or too many.

    Args:
        text: A whole answer.
        satisfies: Whether a text is the JSON that was asked for.
    """
    if _is_json(text):
        return text
    fence = _WHOLE_FENCE.fullmatch(text)
    if fence is not None and _is_json(fence["inside"]):
        return fence["inside"].strip()
    values = list(dict.fromkeys(_values(text)))
    # An array in a sentence is rather a reference than an answer.
    chosen = [value for value in values if satisfies(value)] or [value for value in values if value.startswith("{")]
    if len(chosen) != 1:
        return text
    before, _, behind = text.partition(chosen[0])
    return chosen[0] if _is_wrapping(before) and _is_wrapping(behind) else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _values(text: str) -> Iterator[str]:
    """The objects and arrays that stand in a text, the outermost of each."""
    place, tries = 0, 0
    while (start := _next_start(text, place)) is not None and tries < _MOST_TRIES:
        tries += 1
        try:
            _, end = _decode(text, start)
        except (ValueError, RecursionError):
            place = start + 1
            continue
        yield text[start:end]
        place = end


_MOST_TRIES = 100


def _next_start(text: str, place: int) -> int | None:
    starts = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
    return min(starts, default=None)


def _is_wrapping(text: str) -> bool:
    """Whether a text beside the JSON only presents it: marks of a fence, and one short sentence at most."""
    sentence = _FENCE_MARK.sub(" ", text).strip()
    if len(sentence) > LONGEST_SENTENCE or _NO_ANSWER.search(sentence):
        return False
    return _SENTENCE_END.search(sentence) is None


class JsonStream:
    """What of a streamed answer can be passed on before its end: JSON itself as it comes, nothing of what wraps it.

    Args:
        starts: The characters that the JSON may begin with.
    """

    def __init__(self, starts: str) -> None:
        self._starts = starts
        self._text = ""
        self._passed = 0
        self._state: Literal["before", "inside", "behind"] = "before"
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """Take a piece.

        Returns:
            What may be passed on now.
        """
        self._text += text
        if self._state == "before":
            first = self._text.lstrip()[:1]
            if not first or first not in self._starts:
                return ""
            self._state, text = "inside", self._text
        if self._state == "behind":
            return ""
        passed = text[: self._end_in(text)]
        self._passed += len(passed)
        return passed

    def _end_in(self, text: str) -> int | None:
        """Where the JSON ends in this piece; None if it goes on."""
        start = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        for match in _STRUCTURE.finditer(text, start):
            mark = match.group()
            if mark == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                # The letter that it escapes may be the next piece's first.
                self._escaped = mark == "\\"
            elif mark[0] != "\\":
                self._depth += 1 if mark in "{[" else -1
                if self._depth == 0:
                    self._state = "behind"
                    return match.end()
        return None

    def rest(self, answer: str) -> str:
        """What is still to be passed on of the answer, as it was read in the end."""
        passed = self._text[: self._passed]
        return (answer if answer.startswith(passed) else self._text)[len(passed) :]


_STRUCTURE = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
