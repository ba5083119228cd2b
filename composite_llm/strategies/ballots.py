"""From the text of a reviewer to a ballot: tolerant of how models write, strict about what counts as a vote.

A reviewer sees the candidate answers under neutral labels ("Response A", "Response B", ..., "Response AA") and is asked
for `{"ranking": ["Response C", "Response A", ...], "reviews": {"Response A": "..."}}`, best first. `parse_ballot` reads
what came back. It tries, in this order, and stops at the first that yields a label:

1. JSON objects in closed ``` fences (language `json` or none), the last usable one;
2. JSON objects anywhere in the text, the last usable complete one, else one that is cut off or broken further on;
3. the last usable `FINAL RANKING` section: a numbered or bulleted list, or an inline chain "Response C > Response A";
4. the longest numbered list or ">" chain of full labels anywhere, unless the text refuses to rank.

JSON is read with an own, iterative reader instead of `json`: it must survive a cut in the middle, trailing commas, and
unescaped quotes in a review that follows an intact ranking, and it must not recurse. All patterns are written with
possessive or bounded repeats, and the search for JSON has a budget of work, so the time is linear in the text.

Reading less is always preferred to reading something wrong: a label that the end of the text may have cut short is
dropped, as are rank numbers of which the first are missing and scores that are incomplete.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Ballot", "Form", "candidates_of", "labels", "parse_ballot"]

Form: TypeAlias = Literal["json", "final_ranking", "mentions", "none"]

_MAX_PROBLEMS = 12
_MAX_QUOTED = 40
_MAX_DEPTH = 40
_MAX_STRAY_LINES = 8
# Keys and values read from a text, plus attempts to do so. A ballot on 60 candidates has some 200.
_MAX_STEPS = 20_000
# How many sections of a text, items of a list and links of a chain are looked at.
_MAX_PARTS = 2_000


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one reviewer voted.

    Attributes:
        ranking: Labels exactly as given to `parse_ballot`, best first, each at most once. May be partial.
        reviews: Label -> comment, where JSON in the text had comments; lone surrogates are replaced. Not to be changed.
        abstained: True when there is no usable ranking: a refusal, a blank text, or nothing recognisable.
        form: How the ranking was read; "none" exactly when abstained.
        problems: Short notes for people on what was dropped or missing.
    """

    ranking: tuple[str, ...]
    reviews: Mapping[str, str]
    abstained: bool
    form: Form
    problems: tuple[str, ...]


def labels(n: int) -> tuple[str, ...]:
    """The first n labels: "Response A" to "Response Z", then "Response AA" and so on, as spreadsheets name columns.

    Args:
        n: How many; zero or less gives none.

    Returns:
        n distinct labels in order.
    """
    return tuple(f"Response {_column(number)}" for number in range(1, n + 1))


def parse_ballot(text: str | None, labels: Sequence[str]) -> Ballot:
    """Read a reviewer's text. Never raises, whatever the text.

    Args:
        text: The reviewer's answer; None counts as blank.
        labels: The labels the reviewer was shown, each some words of which the last tells them apart. That last word
            alone ("C") is understood too, but only as a JSON entry, or as an item or link of a chain in a ranking.

    Returns:
        The ballot; see the module's description for the order in which forms are tried.
    """
    lexicon = _Lexicon(labels)
    source = text or ""
    found, reviews, prose, json_cut = _read_json(source, lexicon)
    form: Form = "json"
    if not found.ranking:
        found, form = _read_prose(prose, lexicon, found)
    if not found.ranking:
        form = "none"
        found.cut |= json_cut
    notes = (*found.problems, *_summary(found, source))
    return Ballot(tuple(found.ranking), reviews, not found.ranking, form, notes)


def candidates_of(ballot: Ballot, label_of: Mapping[str, str]) -> tuple[str, ...]:
    """Translate a ballot's ranking from labels to candidate ids.

    Args:
        ballot: The ballot.
        label_of: Label -> candidate id, as this reviewer was shown them. Labels without an entry are skipped.

    Returns:
        Candidate ids, best first.
    """
    return tuple(label_of[label] for label in ballot.ranking if label in label_of)


def _summary(found: _Found, text: str) -> Iterator[str]:
    """The problems of the ballot as a whole."""
    missing = len(found.lexicon.labels) - len(found.ranking)
    if not found.ranking:
        yield _why_nothing(text)
    elif missing:
        yield f"{missing} of {len(found.lexicon.labels)} candidates unranked"
    if found.cut:
        yield "text cut off"


def _column(number: int) -> str:
    name = ""
    while number:
        number, letter = divmod(number - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


# --- Labels ----------------------------------------------------------------------------------------------------------

_SURROGATES = re.compile("[\ud800-\udfff]")
# What may stand around a label without being a word: emphasis, quotes, brackets, emoji, dashes.
_DECORATION = re.compile(r"(?:[^\w\r\n]|_)*+")
# After a short label: the end, or punctuation that is no apostrophe, slash or hyphen inside a word ("A's", "A/B").
_AFTER_SHORT = re.compile(r"[ \t]*+(?:$|(?!['\u2019/&\s-])[\W_]|-(?![^\W_]))")
_AFTER_WHOLE = re.compile(r"(?:[^\w\r\n(]|_)*+(?:\([^()\r\n]{0,80}\)(?:[^\w\r\n]|_)*+)?$")
_WORD = re.compile(r"[^\W_]{1,64}+")
_LOOKS_LIKE_TOKEN = re.compile(r"[A-Z]{1,3}|\d{1,3}")


@dataclass(frozen=True, slots=True)
class _Match:
    """A label, or something of a label's shape, in the text."""

    label: str | None
    name: str
    start: int
    end: int
    short: bool


class _Lexicon:
    """The known labels and how they may be written."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(dict.fromkeys(labels))
        self._full = {_normal(label): label for label in self.labels}
        self._short = self._short_forms()
        stems = sorted({" ".join(label.split()[:-1]) for label in self.labels} - {""}, key=len, reverse=True)
        either = "|".join(re.escape(stem).replace(r"\ ", r"[ \t]{1,4}") for stem in stems) or r"(?!)"
        pattern = rf"(?<![^\W_])(?P<stem>{either})[ \t\xa0_]{{1,4}}(?P<token>[^\W_]{{1,64}}+)"
        self.full_pattern = re.compile(pattern, re.IGNORECASE)

    def _short_forms(self) -> dict[str, str]:
        lasts = [(label.split() or [""])[-1].casefold() for label in self.labels]
        return {last: label for last, label in zip(lasts, self.labels, strict=True) if lasts.count(last) == 1}

    def at(self, text: str, start: int, end: int) -> _Match | None:
        """The label that begins exactly at `start`, if any; an unknown one has no label but a name."""
        if full := self.full_pattern.match(text, start, end):
            return self.of_full(full)
        word = _WORD.match(text, start, end)
        if word and (label := self._short.get(word[0].casefold())) and _AFTER_SHORT.match(text, word.end(), end):
            return _Match(label, word[0], start, word.end(), short=True)
        return None

    def of_full(self, match: re.Match[str]) -> _Match | None:
        label = self._full.get(_normal(f"{match['stem']} {match['token']}"))
        if label is None and not _LOOKS_LIKE_TOKEN.fullmatch(match["token"]):
            return None
        return _Match(label, match[0], match.start(), match.end(), short=False)

    def named(self, text: str) -> str | None:
        """The label that a whole string names exactly, apart from case and spacing."""
        key = _normal(text)
        return self._full.get(key) or self._short.get(key)

    def could_grow(self, fragment: str, label: str, taken: Sequence[str]) -> bool:
        """Whether a fragment at the end of a text could be the beginning of another label not yet taken."""
        key = _normal(fragment)
        others = [other for other in self.labels if other != label and other not in taken]
        return any(_normal(form).startswith(key) for other in others for form in (other, *other.split()[-1:]))


def _normal(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


@dataclass(slots=True)
class _Found:
    """A ranking being collected."""

    lexicon: _Lexicon
    ranking: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    cut: bool = False

    def problem(self, note: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems[note] = None

    def add(self, label: str) -> None:
        if label in self.ranking:
            self.problem(f"duplicate {label} dropped")
        else:
            self.ranking.append(label)

    def unknown(self, name: str) -> None:
        clean = _printable(" ".join(name[: 2 * _MAX_QUOTED].split()))
        shown = clean if len(clean) <= _MAX_QUOTED else clean[: _MAX_QUOTED - 1] + "…"
        self.problem(f"unknown label '{shown}' dropped")

    def take(self, matches: Sequence[_Match], text: str) -> None:
        """Add matches from running text, minding a label that the end of the text may have cut."""
        for match in matches:
            if match.label is None:
                self.unknown(match.name)
            elif match.end == len(text) and self.lexicon.could_grow(match.name, match.label, self.ranking):
                self.cut = True
            else:
                self.add(match.label)


def _printable(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


# --- A tolerant JSON reader ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Array:
    items: list[_Value] = field(default_factory=list)
    closed: bool = False


@dataclass(slots=True)
class _Object:
    items: dict[str, _Value] = field(default_factory=dict)
    closed: bool = False


_Value: TypeAlias = "str | float | bool | _Array | _Object | None"


class _CutError(Exception):
    """The text ended inside a value."""


class _BrokenError(Exception):
    """The text is not JSON, however tolerantly read."""


_OPEN = re.compile(r"\{(?=\s*+(?:[\"'}]|\w++\s*+:))")
_GAP = re.compile(r"[\s,]*+")
_COLON = re.compile(r"\s*+:\s*+")
_STRINGS = {
    '"': re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL),
}
_BARE_KEY = re.compile(r"\w++")
_BARE = re.compile(r"[^\s,\[\]{}\"':][^,\[\]{}\"\r\n]*+")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,20})?")
_LITERALS: dict[str, bool | None] = {"null": None, "none": None, "true": True, "false": False}


class _Reader:
    """Reads one object that starts at `pos`, keeping what was complete when the text ends or stops making sense."""

    def __init__(self, text: str, pos: int, end: int, steps: int) -> None:
        self._text = text
        self._end = end
        self.pos = pos + 1
        self.root = _Object()
        self.cut = False
        self.steps = steps

    def read(self) -> None:
        try:
            self._read_all()
        except _CutError:
            self.cut = True
            self.pos = self._end
        except _BrokenError:
            pass

    def _read_all(self) -> None:
        stack: list[_Array | _Object] = [self.root]
        while stack:
            top = stack[-1]
            char = self._next_char()
            if char == ("}" if isinstance(top, _Object) else "]"):
                top.closed = True
                stack.pop()
                self.pos += 1
                continue
            child = self._put(top)
            if isinstance(child, _Array | _Object):
                stack.append(child)
                if len(stack) > _MAX_DEPTH:
                    raise _BrokenError

    def _put(self, top: _Array | _Object) -> _Value:
        self.steps -= 1
        if self.steps < 0:
            raise _BrokenError
        if isinstance(top, _Array):
            value = self._value()
            top.items.append(value)
            return value
        key = self._key()
        value = self._value()
        top.items[key] = value
        return value

    def _next_char(self) -> str:
        self._skip(_GAP)
        if self.pos >= self._end:
            raise _CutError
        return self._text[self.pos]

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self._text, self.pos, self._end)
        if match:
            self.pos = match.end()
        return match is not None

    def _key(self) -> str:
        quote = self._next_char()
        key = self._string(quote) if quote in _STRINGS else self._bare(_BARE_KEY)
        if not self._skip(_COLON):
            self._next_char()
            raise _BrokenError
        return key

    def _value(self) -> _Value:
        char = self._next_char()
        if char in "{[":
            self.pos += 1
            return _Object() if char == "{" else _Array()
        if char in _STRINGS:
            return self._string(char)
        return _scalar(self._bare(_BARE))

    def _string(self, quote: str) -> str:
        match = _STRINGS[quote].match(self._text, self.pos, self._end)
        if not match:
            raise _CutError
        self.pos = match.end()
        return _unescaped(match[1])

    def _bare(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self.pos, self._end)
        if not match:
            raise _BrokenError
        self.pos = match.end()
        if self.pos == self._end:
            raise _CutError
        return match[0].strip()


def _unescaped(body: str) -> str:
    if "\\" not in body:
        return body
    try:
        decoded = json.loads(f'"{body}"', strict=False)
    except ValueError:
        return body
    return str(decoded)


def _scalar(word: str) -> str | float | bool | None:
    if word.casefold() in _LITERALS:
        return _LITERALS[word.casefold()]
    if _NUMBER.fullmatch(word):
        return float(word)
    if not any(char.isalnum() for char in word):
        raise _BrokenError
    return word


@dataclass(frozen=True, slots=True)
class _Json:
    """An object found in the text, with what it holds for a ballot."""

    root: _Object
    start: int
    end: int
    cut: bool

    def field(self, *names: str) -> _Value:
        for key, value in self.root.items.items():
            if _key_name(key) in names and value is not None:
                return value
        return None

    @property
    def relevant(self) -> bool:
        return any(_key_name(key) in _RANKING + _SCORES + _REVIEWS for key in self.root.items)


_RANKING = ("ranking", "rankings", "finalranking")
_SCORES = ("scores",)
_REVIEWS = ("reviews",)


def _key_name(key: str) -> str:
    return "".join(char for char in key[:_MAX_QUOTED] if char.isalnum()).casefold()


def _objects(text: str, start: int, end: int) -> Iterator[_Json]:
    """The objects in a span, outermost only.

    The number of steps is limited, and so are the characters spent on starts that lead nowhere: to a multiple of the
    span's. The search ends when either is used up.
    """
    budget = 8 * (end - start) + 65_536
    steps, pos = _MAX_STEPS, start
    while steps > 0 and budget > 0 and (match := _OPEN.search(text, pos, end)):
        reader = _Reader(text, match.start(), end, steps)
        reader.read()
        steps = reader.steps - 1
        one = _Json(_unwrapped(reader.root), match.start(), reader.pos, reader.cut)
        yield one
        if one.relevant or reader.root.closed:
            pos = reader.pos
        else:
            pos = match.end()
            budget -= reader.pos - pos


def _unwrapped(root: _Object) -> _Object:
    """See through {"result": {...}}."""
    while len(root.items) == 1:
        (key, value), *_ = root.items.items()
        if not isinstance(value, _Object) or _key_name(key) in _RANKING + _SCORES + _REVIEWS:
            break
        root = value
    return root


# --- Ballots in JSON -------------------------------------------------------------------------------------------------

_FENCE = re.compile(r"^[ \t]*+```[ \t]*+(\w*+)[^\r\n`]*+(?![^\r\n])", re.MULTILINE)
_SCORE = re.compile(
    r"\s*+([+-]?\d{1,15}(?:[.,]\d{1,15})?)\s*+(?:(?:/|out\s{1,3}of)\s*+\d{1,15}(?:[.,]\d{1,15})?|%|points?|pts)?\s*+",
    re.IGNORECASE,
)
_RANK = re.compile(r"\s*+#?(\d{1,6})(?:st|nd|rd|th)?\.?\s*+", re.IGNORECASE)
_LABEL_KEYS = ("label", "response", "candidate", "answer", "id", "name")
_RANK_KEYS = ("rank", "position", "place")
_MARKER = re.compile(
    r"(?:#|rank[ \t]{1,3}|place[ \t]{1,3})?(\d{1,4})(?:st|nd|rd|th)?"
    r"[*_ \t]{0,4}(?:[.):|\u3001\uff0e\uff1a\u2013\u2014-](?!\d)|(?<=#\d)[ \t])",
    re.IGNORECASE,
)


def _read_json(text: str, lexicon: _Lexicon) -> tuple[_Found, dict[str, str], str, bool]:
    """The ranking in the text's JSON, its reviews, the text without that JSON, and whether some object is cut off."""
    anywhere = list(_objects(text, 0, len(text)))
    relevant = [one for one in anywhere if one.relevant]
    fenced = [one for span in _fences(text) for one in _objects(text, *span) if one.relevant and one.root.closed]
    whole = [one for one in relevant if one.root.closed]
    partial = [one for one in relevant if not one.root.closed]
    found, reviews = _Found(lexicon), dict[str, str]()
    for one in (*reversed(fenced), *reversed(whole), *reversed(partial)):
        attempt, comments = _ranking_of(one, lexicon), _reviews(one.field(*_REVIEWS), lexicon)
        if attempt.ranking:
            return attempt, comments, "", False
        reviews = reviews or comments
        for note in attempt.problems:
            found.problem(note)
    return found, reviews, _without(text, relevant), any(one.cut for one in anywhere)


def _fences(text: str) -> Iterator[tuple[int, int]]:
    """The bodies of closed ``` fences whose language is json or absent."""
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(text):
        if opened is None:
            opened = mark
            continue
        if opened[1].casefold() in {"", "json"}:
            yield opened.end(), mark.start()
        # A mark with a language opens again: the fence before it was never closed.
        opened = mark if mark[1] else None


def _without(text: str, objects: Sequence[_Json]) -> str:
    """The text around JSON ballots: what such an object holds must not be read a second time as prose."""
    parts, pos = [], 0
    for one in objects:
        parts.append(text[pos : one.start])
        pos = one.end
    return "\n".join((*parts, text[pos:]))


def _ranking_of(one: _Json, lexicon: _Lexicon) -> _Found:
    found = _Found(lexicon)
    ranking = one.field(*_RANKING)
    if isinstance(ranking, str):
        found.take(_labels_in(ranking, 0, len(ranking), lexicon), ranking + "\n")
    elif isinstance(ranking, _Array) and (ranking.closed or one.cut):
        _add_array(ranking, found)
    elif isinstance(ranking, _Object) and (ranking.closed or one.cut):
        _add_ranks(_rank_pairs(ranking, lexicon), found, closed=ranking.closed)
    scores = one.field(*_SCORES)
    if not found.ranking and isinstance(scores, _Object) and scores.closed:
        _add_scores(scores, found)
    found.cut = one.cut
    if found.ranking and not one.cut and not one.root.closed:
        found.problem("invalid JSON after the ranking")
    return found


def _add_array(array: _Array, found: _Found) -> None:
    entries = list(_flat(array))
    pairs = [(_entry_labels(entry, found.lexicon), _entry_rank(entry)) for entry in entries]
    ranks = [(names[0], rank) for names, rank in pairs if len(names) == 1 and rank is not None]
    if entries and len(ranks) == len(entries) and _are_ranks(ranks, found.lexicon):
        _add_ranks(ranks, found, closed=array.closed)
        return
    for entry, (names, _) in zip(entries, pairs, strict=True):
        for name in names:
            found.add(name)
        if not names and entry is not None:
            found.unknown(_shown(entry))


def _flat(array: _Array) -> Iterator[str | float | bool | _Object | None]:
    """The entries, nested lists opened up; an object that was cut off may lack its rank and is left out."""
    for item in array.items:
        if isinstance(item, _Array):
            yield from _flat(item)
        elif not isinstance(item, _Object) or item.closed:
            yield item


def _shown(entry: str | float | bool | _Object) -> str:
    if isinstance(entry, _Object):
        return "{" + ", ".join(list(entry.items)[:3]) + "}"
    return f"{entry:g}" if isinstance(entry, float) else str(entry)


def _entry_labels(entry: _Value, lexicon: _Lexicon) -> list[str]:
    """The labels one entry of a JSON ranking names: none, one, or the tied ones of "Response A = Response B"."""
    if isinstance(entry, str):
        exact = lexicon.named(entry)
        matches = [] if exact else _labels_in(entry, 0, len(entry), lexicon)
        return [exact] if exact else [match.label for match in matches if match.label]
    if isinstance(entry, _Object):
        return _object_labels(entry, lexicon)
    return []


def _object_labels(entry: _Object, lexicon: _Lexicon) -> list[str]:
    by_name = {_key_name(key): value for key, value in entry.items.items()}
    values = [by_name[key] for key in _LABEL_KEYS if key in by_name]
    for text in (*values, *(list(entry.items) if len(entry.items) == 1 else [])):
        if isinstance(text, str) and (label := _one_label(text, lexicon)):
            return [label]
    return []


def _one_label(text: str, lexicon: _Lexicon) -> str | None:
    """The label a string begins with, apart from decoration and a list marker."""
    if label := lexicon.named(text):
        return label
    match = _head(text, 0, len(text), lexicon)
    return match.label if match else None


def _entry_rank(entry: _Value) -> float | None:
    if not isinstance(entry, _Object):
        return None
    by_name = {_key_name(key): value for key, value in entry.items.items()}
    keys = [key for key in _RANK_KEYS if key in by_name]
    if keys:
        return _rank_number(by_name[keys[0]])
    return _rank_number(next(iter(entry.items.values()))) if len(entry.items) == 1 else None


def _rank_number(value: _Value) -> float | None:
    if isinstance(value, str):
        match = _RANK.fullmatch(value)
        return float(match[1]) if match else None
    return value if isinstance(value, float) else None


def _rank_pairs(ranking: _Object, lexicon: _Lexicon) -> list[tuple[str, float]]:
    """The (label, rank) pairs of {"Response A": 1} as well as {"1": "Response A"}."""
    pairs = []
    for key, value in ranking.items.items():
        label, rank = _one_label(key, lexicon), _rank_number(value)
        if label is None and isinstance(value, str):
            label, rank = _one_label(value, lexicon), _rank_number(key)
        if label is not None and rank is not None:
            pairs.append((label, rank))
    return pairs


def _are_ranks(pairs: Sequence[tuple[str, float]], lexicon: _Lexicon) -> bool:
    return all(rank.is_integer() and 0 <= rank <= len(lexicon.labels) for _, rank in pairs)


def _add_ranks(pairs: list[tuple[str, float]], found: _Found, *, closed: bool) -> None:
    """Add labels by rank number. Of a cut-off mapping only the ranks without a gap before them are known."""
    if not _are_ranks(pairs, found.lexicon):
        found.problem("rank numbers out of range")
        return
    pairs = sorted(pairs, key=lambda pair: pair[1])
    if len({rank for _, rank in pairs}) < len(pairs):
        found.problem("tied ranks read in the order given")
    for at, (label, rank) in enumerate(pairs, start=1):
        if not closed and rank > at:
            break
        found.add(label)


def _add_scores(scores: _Object, found: _Found) -> None:
    pairs = []
    for key, value in scores.items.items():
        label, score = _one_label(key, found.lexicon), _score_number(value)
        if label is None:
            found.unknown(key)
        elif score is not None:
            pairs.append((label, score))
    if len({score for _, score in pairs}) < len(pairs):
        found.problem("tied scores read in the order given")
    for label, _ in sorted(pairs, key=lambda pair: -pair[1]):
        found.add(label)


def _score_number(value: _Value) -> float | None:
    if isinstance(value, str):
        match = _SCORE.fullmatch(value)
        return float(match[1].replace(",", ".")) if match else None
    return value if isinstance(value, float) else None


def _reviews(value: _Value, lexicon: _Lexicon) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, comment in value.items.items() if isinstance(value, _Object) else ():
        label = _one_label(key, lexicon)
        if label is not None and isinstance(comment, str):
            found.setdefault(label, _printable(comment))
    return found


# --- Rankings in running text ----------------------------------------------------------------------------------------

_LINE = re.compile(r"[^\r\n]++")
_HEADING = re.compile(
    r"(?<![^\W_])final[ \t_]{1,3}rankings?(?![^\W_])[*_ \t]{0,8}"
    r"(?P<note>[,(\u2013\u2014-]?[ \t]{0,3}(?:from[ \t]|in[ \t]order[ \t])?"
    r"(?:best|worst|top|highest|lowest)[^\r\n:\uff1a]{0,40})?"
    r"[*_ \t]{0,8}(?P<colon>[:\uff1a])?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"[ \t]*+[-*+\u2022\u2013\u2014\u2023\u25e6][ \t]++")
_BETTER = re.compile(r"&gt;|[>\u227b\u2192\u2265]")
_CHAIN = re.compile(r"(?:&gt;|[>\u227b\u2192\u2265])=?|=")
_LIST = re.compile(r",[ \t]*+and(?!\w)|[>\u227b\u2192\u2265=,;/&+]|(?<!\w)(?:and|then)(?!\w)", re.IGNORECASE)
_WORST_FIRST = re.compile(r"(?<!\w)(?:worst|lowest)[ \t-]{1,3}(?:to|first)(?!\w)", re.IGNORECASE)
_REFUSAL = re.compile(
    r"(?<!\w)I(?:['\u2019]m|[ \t]+am)[ \t]+(?:unable|not[ \t]+able|not[ \t]+comfortable)(?!\w)"
    r"|(?<!\w)I[ \t]+(?:can[ \t]?not|can['\u2019]?t|could[ \t]?n[o'\u2019]t|won['\u2019]?t|will[ \t]+not)[ \t]+"
    r"(?:\w{1,15}[ \t]+){0,3}(?:rank|evaluat|judg|compar|assess|assist|help|choos|provid|comply|scor|review|do\b)"
    r"|(?<!\w)I[ \t]+(?:must[ \t]+|have[ \t]+to[ \t]+)?(?:decline|refuse|abstain)(?!\w)"
    r"|(?<!\w)as[ \t]+an[ \t]+(?:AI|artificial)(?!\w)|(?<!\w)as[ \t]+a[ \t]+(?:large[ \t]+)?language[ \t]+model",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Item:
    """A line that ranks something: a list item, or a line of nothing but labels."""

    style: Literal["number", "bullet", "plain"]
    number: int
    matches: tuple[_Match, ...]


def _why_nothing(text: str) -> str:
    if not text.strip():
        return "blank text"
    return "refused to rank" if _REFUSAL.search(text) else "no ranking found"


def _read_prose(text: str, lexicon: _Lexicon, before: _Found) -> tuple[_Found, Form]:
    sections = list(_sections(text))
    for section in reversed(sections):
        found = _Found(lexicon, problems=dict(before.problems))
        _add_section(text, section, found)
        if found.ranking:
            return found, "final_ranking"
        before.cut |= found.cut
    # With a heading but nothing usable below it, a list elsewhere is a critique rather than the ranking.
    if sections or _REFUSAL.search(text) or _WORST_FIRST.search(text):
        return before, "none"
    found = _Found(lexicon, problems=dict(before.problems), cut=before.cut)
    found.take(_longest_run(text, lexicon), text)
    return found, "mentions"


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    reverse: bool


def _sections(text: str) -> Iterator[_Section]:
    """The stretches after a "final ranking" heading: with a colon, or alone on its line."""
    heads = [head for head in _HEADING.finditer(text) if head["colon"] or _alone(text, head)]
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in [*zip(heads, ends, strict=False)][-_MAX_PARTS:]:
        yield _Section(head.end(), end, bool(_WORST_FIRST.search(head["note"] or "")))


def _alone(text: str, head: re.Match[str]) -> bool:
    # A heading is short; looking no further keeps a line of a million headings linear.
    before = re.split(r"[\r\n]", text[max(0, head.start() - 40) : head.start()])[-1]
    after = re.split(r"[\r\n]", text[head.end() : head.end() + 40])[0]
    return not any(char.isalpha() for char in before + after)


def _add_section(text: str, section: _Section, found: _Found) -> None:
    items = _section_items(text, section, found.lexicon)
    matches = [match for item in items for match in item.matches]
    found.take(matches, text)
    if section.reverse:
        complete = len(found.ranking) == len(found.lexicon.labels)
        found.ranking = found.ranking[::-1] if complete else []


def _section_items(text: str, section: _Section, lexicon: _Lexicon) -> list[_Item]:
    items: list[_Item] = []
    strays = 0
    for line in _LINE.finditer(text, section.start, section.end):
        item = _item(text, line.start(), line.end(), lexicon)
        if item and (not items or item.style == items[0].style):
            items.append(item)
        elif not items:
            strays += any(char.isalnum() for char in line[0])
        elif items[0].style != "number" and not line[0][0].isspace():
            break
        if strays > _MAX_STRAY_LINES or len(items) > _MAX_PARTS:
            break
    return _one_list(items)


def _one_list(items: list[_Item]) -> list[_Item]:
    """The first list: numbers must keep their direction. A countdown is turned round; a list without a 1 is none."""
    if not items or items[0].style != "number":
        return items
    numbers = [item.number for item in items]
    down = next((b < a for a, b in pairwise(numbers) if a != b), False) and numbers[0] > 1
    breaks = (at for at, (a, b) in enumerate(pairwise(numbers), start=1) if (b >= a if down else b < a))
    items = items[: next(breaks, len(items))]
    if down:
        items.reverse()
    return items if items[0].number <= 1 else []


def _item(text: str, start: int, end: int, lexicon: _Lexicon) -> _Item | None:
    """The line as an item. Only a numbered one may be without label: it still counts for the numbering."""
    bullet = _BULLET.match(text, start, end)
    inner = _after_decoration(text, start, end)
    if marker := _MARKER.match(text, inner, end):
        return _Item("number", int(marker[1]), tuple(_item_labels(text, marker.end(), end, lexicon)))
    matches = tuple(_labels_in(text, start, end, lexicon))
    if bullet:
        return _Item("bullet", 0, matches) if matches else None
    whole = len(matches) > 1 or (matches and _AFTER_WHOLE.match(text, matches[0].end, end))
    return _Item("plain", 0, matches) if whole else None


def _item_labels(text: str, start: int, end: int, lexicon: _Lexicon) -> list[_Match]:
    """The labels at the head of a numbered item, else the only label mentioned in it."""
    if head := _labels_in(text, start, end, lexicon):
        return head
    named: dict[str, _Match] = {}
    for match in _full_labels(text, start, end, lexicon):
        named.setdefault(match.name, match)
    return list(named.values()) if len(named) == 1 else []


def _full_labels(text: str, start: int, end: int, lexicon: _Lexicon) -> Iterator[_Match]:
    for match in lexicon.full_pattern.finditer(text, start, end):
        known = lexicon.of_full(match)
        if known and known.label:
            yield known


def _labels_in(text: str, start: int, end: int, lexicon: _Lexicon) -> list[_Match]:
    """The labels of a ranking line: a ">" chain, a plain enumeration of nothing but labels, or the one at its head."""
    chain = max(_chains(text, start, end, lexicon, full_first=False), key=len, default=[])
    if len(chain) > 1:
        return chain
    pieces = list(_pieces(_LIST, text, start, end))
    whole = [_whole(text, *piece, lexicon) for piece in pieces]
    if whole[-1] is None and pieces[-1][1] == len(text):
        # Whatever the end of the text has cut says nothing about the links before it.
        whole.pop()
    known = [match for match in whole if match]
    if len(known) > 1 and len(known) == len(whole):
        return known
    head = _head(text, start, end, lexicon)
    return [head] if head else []


def _pieces(separator: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for mark in islice(separator.finditer(text, start, end), _MAX_PARTS):
        yield start, mark.start()
        start = mark.end()
    yield start, end


def _after_decoration(text: str, start: int, end: int) -> int:
    match = _DECORATION.match(text, start, end)
    inner = match.end() if match else start
    # "#1" is a marker, its "#" no decoration.
    return inner - 1 if inner > start and text[inner - 1] == "#" else inner


def _head(text: str, start: int, end: int, lexicon: _Lexicon) -> _Match | None:
    inner = _after_decoration(text, start, end)
    if marker := _MARKER.match(text, inner, end):
        inner = marker.end()
    decoration = _DECORATION.match(text, inner, end)
    return lexicon.at(text, decoration.end() if decoration else inner, end)


def _whole(text: str, start: int, end: int, lexicon: _Lexicon) -> _Match | None:
    match = _head(text, start, end, lexicon)
    return match if match and _AFTER_WHOLE.match(text, match.end, end) else None


def _tail(text: str, start: int, end: int, lexicon: _Lexicon) -> _Match | None:
    """The full label a piece ends with ("My order is Response C"); a piece of nothing but a label counts too."""
    last = None
    for match in _full_labels(text, max(start, end - 200), end, lexicon):
        last = match
    if last and _AFTER_WHOLE.match(text, last.end, end):
        return last
    return _whole(text, start, end, lexicon)


def _chains(text: str, start: int, end: int, lexicon: _Lexicon, *, full_first: bool) -> Iterator[list[_Match]]:
    """The runs of labels linked by ">" in a line."""
    pieces = list(_pieces(_CHAIN, text, start, end))
    run: list[_Match] = []
    for at, piece in enumerate(pieces):
        whole = _whole(text, *piece, lexicon) if run else None
        if run and whole is None:
            last = _head(text, *piece, lexicon)
            yield [*run, last] if last else run
            run = []
        if whole:
            run.append(whole)
        elif at < len(pieces) - 1 and (first := _tail(text, *piece, lexicon)) and not (full_first and first.short):
            run = [first]
    if run:
        yield run


def _longest_run(text: str, lexicon: _Lexicon) -> list[_Match]:
    """The longest numbered list or ">" chain of labels anywhere in the text; the last of several as long."""
    best: list[_Match] = []
    if lexicon.full_pattern.search(text) is None:
        return best
    for run in _runs(text, lexicon):
        if len({match.label for match in run if match.label}) >= max(2, len({match.label for match in best})):
            best = run
    return best


def _runs(text: str, lexicon: _Lexicon) -> Iterator[list[_Match]]:
    numbered: list[_Item] = []
    for line in _LINE.finditer(text):
        start, end = line.span()
        if _BETTER.search(text, start, end):
            yield from _chains(text, start, end, lexicon, full_first=True)
        marker = _MARKER.match(text, _after_decoration(text, start, end), end)
        if marker is None:
            continue
        item = _Item("number", int(marker[1]), tuple(_mentioned(text, marker.end(), end, lexicon)))
        if numbered and item.number <= 1 < numbered[-1].number:
            yield _run_of(numbered)
            numbered = []
        numbered.append(item)
    yield _run_of(numbered)


def _run_of(numbered: list[_Item]) -> list[_Match]:
    return [match for item in _one_list(numbered) for match in item.matches]


def _mentioned(text: str, start: int, end: int, lexicon: _Lexicon) -> list[_Match]:
    return [match for match in _item_labels(text, start, end, lexicon) if not match.short]
