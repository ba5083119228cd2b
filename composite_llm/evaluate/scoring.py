"""Whether an answer is right: one rule for each kind of question, and how an answer is read out of a text. Pure."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import unicodedata
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import regex

from composite_llm.evaluate.questions import LETTERS, Question, choice_letter
from composite_llm.model.errors import InvalidConfig, InvalidOption

KINDS = ("exact", "numeric", "choice", "json", "regex", "judge")
"""The names of scores; `auto` finds one for each question, `FILE.py:NAME` and `module:NAME` are functions."""
_CLOSE_ENOUGH = Fraction(1, 10**9)
_PATTERN_TIMEOUT_S = 2.0


class Score(Protocol):
    """One way to tell right from wrong."""

    @property
    def instruction(self) -> str | None:
        """What a question ends with, so that the answer can be read; None for nothing."""
        ...

    def read(self, text: str, question: Question) -> Hashable | None:
        """The answer of a text in a form in which equal answers are equal; None where there is none."""
        ...

    def right(self, text: str, question: Question) -> float:
        """From 0, wrong, to 1, right."""
        ...


_MARK = re.compile(r"(?im)^[\s>*_#`]*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?[\s*_`]*[:=][\s*_`]*(\S.*?)\s*$")
_SAID = re.compile(r"(?i)\banswer\s+is[\s:*_`]+([^\n]*\S)")
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


def stated(text: str) -> str | None:
    """What a text gives as its answer: behind the last `Answer:`, in the last box, behind "the answer is"; None without any."""
    for found in (_MARK.findall(text), _BOXED.findall(text), _SAID.findall(text)):
        if found:
            return str(found[-1]).strip()
    return None


def plain(text: str) -> str:
    """For comparisons: without case, marks around it, and differences of white space or Unicode form."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .!*_`\"'“”‘’«»")


class Exact:
    """The same words."""

    instruction = "End with a line of this form, and nothing behind it:\nAnswer: <the answer alone>"

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`."""
        found = stated(text)
        if found is None:
            lines = [line for line in text.splitlines() if line.strip()]
            found = lines[-1] if lines else ""
        return plain(found) or None

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        wanted = plain(str(question.answer))
        return float(self.read(text, question) == wanted or plain(text) == wanted)


_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-+\u2212\u2013]?)\s?[$€£]?\s?(?P<digits>\d{1,3}(?:[,' \u202f\u00a0]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s?/\s?(?P<below>\d+)(?![\d/]))?"
    r"(?:\s?(?:[eE]|[x\u00d7*\u00b7]\s?10\s?(?:\^|\*\*)\s?\{?)(?P<power>[-+\u2212]?\d{1,3})\}?)?(?P<percent>\s?%)?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written; 45 % is 45 that may also mean 0.45."""

    value: Fraction
    percent: bool = False


def number_in(text: str) -> Number | None:
    """The number that a text states, else the last one in it."""
    found = stated(text)
    if found is not None:
        # "3 + 4 = 7" states 7, "42 of 50 apples" states 42.
        numbers = list(_NUMBER.finditer(found.rsplit("=", 1)[-1]))
        if numbers:
            return _number(numbers[0])
    numbers = list(_NUMBER.finditer(text))
    return _number(numbers[-1]) if numbers else None


def _number(match: re.Match[str]) -> Number | None:
    below = int(match["below"]) if match["below"] else 1
    if not below:
        return None
    value = Fraction(re.sub(r"[,' \u202f\u00a0]", "", match["digits"])) / below
    if match["power"]:
        value *= Fraction(10) ** int(match["power"].replace("\u2212", "-"))
    return Number(-value if match["sign"] in ("-", "\u2212", "\u2013") else value, bool(match["percent"]))


@dataclass(frozen=True, slots=True)
class Numeric:
    """The same number, as near as is asked for.

    Attributes:
        tolerance: Where the question has none: absolute, or relative with a percent sign.
    """

    tolerance: float | str | None = None
    instruction = "End with a line of this form, and nothing behind it:\nAnswer: <the number alone>"

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`."""
        found = number_in(text)
        return None if found is None else found.value

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        found, wanted = number_in(text), number_in(str(question.answer))
        if found is None or wanted is None:
            return 0.0
        allowed = self._allowed(question, wanted.value)
        values = [found.value]
        if found.percent != wanted.percent:
            values.append(found.value / 100 if found.percent else found.value * 100)
        return float(any(abs(value - wanted.value) <= allowed for value in values))

    def _allowed(self, question: Question, wanted: Fraction) -> Fraction:
        given = self.tolerance if question.tolerance is None else question.tolerance
        if given is None:
            return abs(wanted) * _CLOSE_ENOUGH
        return tolerance_of(given, wanted)


def tolerance_of(given: float | str, wanted: Fraction) -> Fraction:
    """How far from a number is near enough.

    Raises:
        InvalidOption: It is no number.
    """
    text = str(given).strip()
    try:
        value = Fraction(text.removesuffix("%").strip())
    except (ValueError, ZeroDivisionError):
        raise InvalidOption("tolerance", f"got {given!r}", allowed="0.01 or '1%'", value=given) from None
    return abs(value) * abs(wanted) / 100 if text.endswith("%") else abs(value)


class Choice:
    """The same of the choices."""

    instruction = "End with a line of this form, and nothing behind it:\nAnswer: <the letter alone>"

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`."""
        found = stated(text)
        if found is not None and (letter := _letter(found, question)) is not None:
            return letter
        lines = [line for line in text.splitlines() if line.strip()]
        return _letter(lines[-1], question) if lines else None

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        return float(self.read(text, question) == choice_letter(question, question.answer))


def _letter(text: str, question: Question) -> str | None:
    """The one choice that a line names."""
    whole = choice_letter(question, plain(text))
    if whole is not None:
        return whole
    letters = LETTERS[: len(question.choices)]
    # "B", "(B)", "B) Paris", "**B.** Paris", "option B"; but not the article in "A dog".
    begins = re.match(
        rf"[\s*_(\[]*(?:option|choice)?\s*([{letters}])(?:[\s*_]*[).:\]*]|\s*$|\s+[-–—])", text, re.IGNORECASE
    )
    if begins:
        return begins[1].upper()
    inside = set(re.findall(rf"(?:\b(?i:option|choice|answer)\s+|\()([{letters}])\b", text))
    if len(inside) == 1:
        return str(inside.pop())
    said = plain(text)
    named = {letter for letter, choice in zip(LETTERS, question.choices, strict=False) if plain(choice) in said}
    return named.pop() if len(named) == 1 else None


class Json:
    """The same JSON by value; without an answer, JSON that fits the schema."""

    instruction = "Reply with the JSON alone."

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`."""
        found = json_in(text)
        return None if found is _NOTHING else canonical(found)

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        found = json_in(text)
        if found is _NOTHING:
            return 0.0
        if question.answer is None:
            return float(_fits(found, question.answer_schema or {}))
        wanted = question.answer
        if isinstance(wanted, str):
            parsed = json_in(wanted)
            wanted = wanted if parsed is _NOTHING else parsed
        return float(canonical(found) == canonical(wanted))


_NOTHING = object()
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def json_in(text: str) -> Any:
    """The JSON of a text: all of it, its last fenced block, or the last object or list that stands in it."""
    for candidate in (text, *reversed(_FENCED.findall(text))):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    found: Any = _NOTHING
    decoder, place = json.JSONDecoder(), 0
    while (start := min((at for at in (text.find("{", place), text.find("[", place)) if at >= 0), default=-1)) >= 0:
        try:
            found, place = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            place = start + 1
    return found


def canonical(value: Any) -> str:
    """One text for all that is equal as JSON: 1 and 1.0 are, the order of keys is nothing, the order of a list is."""
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=False)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _whole(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    try:
        jsonschema.validate(value, schema)
    except jsonschema.ValidationError:
        return False
    return True


class Pattern:
    """The answer is a pattern that has to be found in the text."""

    instruction = None

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`: what was matched, else the last line, so that equal wrong answers are equal."""
        found = self._found(text, question)
        return plain(found.group()) if found else Exact().read(text, question)

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        return float(self._found(text, question) is not None)

    def _found(self, text: str, question: Question) -> regex.Match[str] | None:
        try:
            return regex.search(str(question.answer), text, timeout=_PATTERN_TIMEOUT_S)
        except regex.error as error:
            raise InvalidConfig(f"question {question.id}: the answer is no pattern: {error}") from None
        except TimeoutError:
            raise InvalidConfig(f"question {question.id}: the pattern takes too long") from None


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function of the text and the question; what it returns is true, false, or a number from 0 to 1."""

    function: Callable[[str, Question], Any]
    instruction = None

    def read(self, text: str, question: Question) -> Hashable | None:
        """As `Score`."""
        return Exact().read(text, question)

    def right(self, text: str, question: Question) -> float:
        """As `Score`."""
        found = self.function(text, question)
        if isinstance(found, bool | int | float) and 0 <= found <= 1:
            return float(found)
        raise InvalidConfig(f"question {question.id}: the function returned {found!r}, no number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Scoring:
    """Which score is for which question.

    Attributes:
        kind: One of `KINDS`, `auto`, or where a function is.
        tolerance: Of numbers whose question has none.
    """

    kind: str = "auto"
    tolerance: float | str | None = None

    def of(self, question: Question) -> Score:
        """The score of a question.

        Raises:
            InvalidConfig: It has no answer.
            InvalidOption: There is no such score.
        """
        kind = question.score or self.kind
        kind = _kind_of(question) if kind == "auto" else kind
        if question.answer is None and kind in ("exact", "numeric", "choice", "regex"):
            raise InvalidConfig(f"question {question.id} has no answer; give one, or score with a judge")
        if kind == "numeric" and number_in(str(question.answer)) is None:
            raise InvalidConfig(f"question {question.id}: the answer {question.answer!r} is not a number")
        if kind == "choice" and not question.choices:
            raise InvalidConfig(f"question {question.id} has no choices")
        return self._named(kind)

    def _named(self, kind: str) -> Score:
        if kind == "numeric":
            if self.tolerance is not None:
                tolerance_of(self.tolerance, Fraction(1))
            return Numeric(self.tolerance)
        if kind in _SCORES:
            return _SCORES[kind]()
        if ":" in kind:
            return Function(_function(kind))
        allowed = ", ".join(("auto", *KINDS, "FILE.py:NAME"))
        raise InvalidOption("score", f"got {kind!r}", allowed=allowed, value=kind)


_SCORES: dict[str, Callable[[], Score]] = {"exact": Exact, "choice": Choice, "json": Json, "regex": Pattern}


def _kind_of(question: Question) -> str:
    if question.choices:
        return "choice"
    if question.answer_schema is not None or isinstance(question.answer, dict | list):
        return "json"
    if isinstance(question.answer, int | float) and not isinstance(question.answer, bool):
        return "numeric"
    answer = str(question.answer).strip()
    whole = _NUMBER.fullmatch(answer)
    # A number with leading zeros is a code or a date.
    return "numeric" if whole and not re.match(r"0\d", answer) else "exact"


def _function(where: str) -> Callable[[str, Question], Any]:
    source, _, name = where.rpartition(":")
    try:
        if source.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(source).stem, source)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        found = getattr(module, name)
    except (ImportError, OSError, AttributeError) as error:
        raise InvalidOption("score", f"{where!r} cannot be loaded ({type(error).__name__})", value=where) from None
    if not callable(found):
        raise InvalidOption("score", f"{where!r} is not a function", value=where)
    return found  # type: ignore[no-any-return]
