"""A ballot in JSON: rankings as lists, ranks, scores or stems, and reviews."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from composite_llm.model.review_labels import ANSWER_WORDS
from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.ballot import Found, declines, is_example
from composite_llm.strategies.ballots.json_text import (
    RANKING,
    REVIEWS,
    SCORES,
    Array,
    JsonBallot,
    Object,
    Scalar,
    Value,
    fences_in,
    key_name,
    objects_in,
    without,
)
from composite_llm.strategies.ballots.lexicon import Lexicon, place_of
from composite_llm.strategies.ballots.lines import label_of, labels_in
from composite_llm.strategies.ballots.prose import is_worst_first
from composite_llm.strategies.ballots.text import Span

_SCORE = re.compile(
    r"\s*+([+-]?\d{1,15}(?:[.,]\d{1,15})?)\s*+(?:(?:/|out\s{1,3}of)\s*+\d{1,15}(?:[.,]\d{1,15})?|%|points?|pts)?\s*+",
    re.IGNORECASE,
)
LABEL_KEYS = ("label", "response", "candidate", "answer", "id", "name")
_RANK_KEYS = ("rank", "position", "place")

_Pairs: TypeAlias = list[tuple[str, float]]


def add_array(array: Array, found: Found) -> None:
    """Add the entries of a list in its order, or in the order of the ranks that all of them have."""
    entries = [(entry, *_read_entry(entry, found.lexicon)) for entry in _flat(array)]
    ranks = [(names[0], rank) for _, names, rank in entries if len(names) == 1 and rank is not None]
    if entries and len(ranks) == len(entries) and _are_ranks(ranks, found.lexicon):
        add_ranks(ranks, found, closed=array.closed)
        return
    for entry, names, _ in entries:
        for name in names:
            found.add(name)
        if not names and entry is not None:
            found.unknown(_shown(entry))


def strings_in(ranking: Value) -> list[object]:
    """The entries of a list, or the keys of an object, as far as they may be labels."""
    if isinstance(ranking, Array):
        return [_label_text(entry) for entry in _flat(ranking) if entry is not None]
    if isinstance(ranking, Object):
        texts = [key for key in ranking.items if _rank(key) is None]
        return list(texts or ranking.items.values())
    return []


def _label_text(entry: Scalar | Object) -> object:
    if isinstance(entry, Object):
        return next(iter(_under(LABEL_KEYS, entry)), None)
    return entry


def add_ranks(pairs: _Pairs, found: Found, *, closed: bool) -> None:
    """Add labels by rank number. Of a cut-off mapping only the ranks without a gap before them are known."""
    if not _are_ranks(pairs, found.lexicon):
        found.problem("rank numbers out of range")
        return
    for at, (label, rank) in enumerate(_in_order(pairs, "ranks", found), start=1):
        if not closed and rank > at:
            break
        found.add(label)


def rank_pairs(ranking: Object, lexicon: Lexicon) -> _Pairs:
    """The (label, rank) pairs of {"Response A": 1} as well as {"1": "Response A"}."""
    pairs = []
    for key, value in ranking.items.items():
        label, rank = label_of(key, lexicon), _rank(value)
        if label is None and isinstance(value, str):
            label, rank = label_of(value, lexicon), _rank(key)
        if label is not None and rank is not None:
            pairs.append((label, rank))
    return pairs


def add_scores(scores: Object, found: Found) -> None:
    """Add labels by score, the highest first."""
    pairs = []
    for key, value in scores.items.items():
        label, score = label_of(key, found.lexicon), _score(value)
        if label is None:
            found.unknown(key)
        elif score is not None:
            pairs.append((label, -score))
    for label, _ in _in_order(pairs, "scores", found):
        found.add(label)


def _in_order(pairs: _Pairs, what: str, found: Found) -> _Pairs:
    if len({number for _, number in pairs}) < len(pairs):
        found.problem(f"tied {what} read in the order given")
    return sorted(pairs, key=lambda pair: pair[1])


def _are_ranks(pairs: _Pairs, lexicon: Lexicon) -> bool:
    return all(rank.is_integer() and 0 <= rank <= len(lexicon.labels) for _, rank in pairs)


def _rank(value: Value) -> float | None:
    if isinstance(value, str):
        place = place_of(value)
        return None if place is None else float(place)
    return value if isinstance(value, float) else None


def _score(value: Value) -> float | None:
    if isinstance(value, str):
        match = _SCORE.fullmatch(value)
        return float(match[1].replace(",", ".")) if match else None
    return value if isinstance(value, float) else None


def _flat(array: Array) -> Iterator[Scalar | Object]:
    """The entries, nested lists opened up; an object that was cut off may lack its rank and is left out."""
    for item in array.items:
        if isinstance(item, Array):
            yield from _flat(item)
        elif not isinstance(item, Object) or item.closed:
            yield item


def _shown(entry: str | float | bool | Object) -> str:
    if isinstance(entry, Object):
        return "{" + ", ".join(list(entry.items)[:3]) + "}"
    return f"{entry:g}" if isinstance(entry, float) else str(entry)


def _read_entry(entry: Scalar | Object, lexicon: Lexicon) -> tuple[Sequence[str], float | None]:
    """The labels an entry names, with its rank: none, one, or the tied ones of "Response A = Response B"."""
    if isinstance(entry, Object):
        return _object_labels(entry, lexicon), _object_rank(entry)
    if not isinstance(entry, str):
        return [], None
    if exact := lexicon.named(entry):
        return [exact], None
    return [mention.label for mention in labels_in(Span.of(entry), lexicon) if mention.label], None


def _object_labels(entry: Object, lexicon: Lexicon) -> list[str]:
    """The label under a usual key, or as the only key."""
    texts = [*_under(LABEL_KEYS, entry), *(entry.items if len(entry.items) == 1 else ())]
    named = (label_of(text, lexicon) for text in texts if isinstance(text, str))
    return [label for label in named if label][:1]


def _object_rank(entry: Object) -> float | None:
    """The rank under a usual key, or as the only value."""
    values = _under(_RANK_KEYS, entry) or (list(entry.items.values()) if len(entry.items) == 1 else [])
    return _rank(values[0]) if values else None


def _under(keys: Sequence[str], entry: Object) -> list[Value]:
    by_name = {key_name(key): value for key, value in entry.items.items()}
    return [by_name[key] for key in keys if key in by_name]


@dataclass(frozen=True, slots=True)
class JsonReading:
    """What a text's JSON says.

    Attributes:
        found: The ranking; an empty one has the problems of every attempt.
        reviews: Label -> comment.
        prose: The text without the JSON ballots, to be read when these have no ranking.
        cut: Whether some object is cut off.
    """

    found: Found
    reviews: dict[str, str]
    prose: str
    cut: bool


def read_json(text: str, lexicon: Lexicon, *, cut_off: bool = False) -> JsonReading:
    """Read the last usable JSON ballot: in a fence, else complete, else the complete part of one that is not.

    An object that the text only gives as an example is no ballot, nor is any where the text around declines to rank.

    Args:
        text: The reviewer's.
        lexicon: The labels.
        cut_off: A token limit ended the text: a ballot counts that was being written, and whose ranking was complete.
    """
    anywhere = list(objects_in(Span.of(text)))
    fenced = [one for body in fences_in(text) for one in objects_in(body) if one.relevant and one.root.closed]
    relevant = [one for one in anywhere if one.relevant]
    whole = [one for one in relevant if one.root.closed]
    partial = [one for one in relevant if not one.root.closed]
    nothing, reviews, prose = Found(lexicon), dict[str, str](), without(text, relevant)
    refusal = _why_not(prose) if relevant else None
    if refusal is not None:
        nothing.problem(refusal)
    for one in (*reversed(fenced), *reversed(whole), *reversed(partial)):
        if is_example(text, one.start):
            nothing.problem("an example is no vote")
            continue
        if cut_off and not _was_being_written(one, text):
            nothing.problem("what stands before the cut is a draft")
            continue
        wide = _lexicon_of(one, lexicon)
        found, comments = _ranking_of(one, wide), _reviews(one.field(REVIEWS), wide)
        if found.ranking and refusal is None:
            return JsonReading(found, comments, "", cut=False)
        reviews = reviews or comments
        nothing.problems |= found.problems
    bare = _bare_array(text, lexicon) if not relevant else None
    if bare is not None and not cut_off:
        return JsonReading(bare, {}, "", cut=False)
    return JsonReading(nothing, reviews, prose, any(one.cut for one in anywhere))


def _why_not(prose: str) -> str | None:
    """Why no object counts, by the text around them all."""
    if declines(prose):
        return "refused to rank"
    return "an order from worst to best is not asked for" if is_worst_first(prose) else None


def _was_being_written(one: JsonBallot, text: str) -> bool:
    """Whether the text ends in this object, its ranking complete: what was cut off are its reviews."""
    ranking = one.field(RANKING)
    complete = isinstance(ranking, str) or (isinstance(ranking, Array | Object) and ranking.closed)
    return complete and not _AFTER_BALLOT.sub("", text[one.end :])


_AFTER_BALLOT = re.compile(r"[\s`]+")


def _lexicon_of(one: JsonBallot, lexicon: Lexicon) -> Lexicon:
    """The labels, with the word that this ballot has in the place of their own."""
    stem = shared_stem(strings_in(one.field(RANKING)), lexicon.labels)
    return lexicon.with_stems([stem]) if stem is not None and stem not in lexicon.stems else lexicon


def _bare_array(text: str, lexicon: Lexicon) -> Found | None:
    """A text that is one list of all the labels."""
    body = _FENCED_ARRAY.fullmatch(text[:_LONGEST_ARRAY])
    if body is None:
        return None
    (one, *_) = objects_in(Span.of(f'{{"ranking": {body[1]}}}'))
    found = _ranking_of(one, _lexicon_of(one, lexicon))
    return found if len(found.ranking) == len(lexicon.labels) and not found.problems else None


_LONGEST_ARRAY = 5_000
_FENCED_ARRAY = re.compile(r"\s*(?:```\w{0,10}\s*)?(\[[^{}]*\])\s*(?:```)?\s*", re.DOTALL)


def _ranking_of(one: JsonBallot, lexicon: Lexicon) -> Found:
    found = Found(lexicon, cut=one.cut)
    _add_ranking(one.field(RANKING), found)
    scores = one.field(SCORES)
    if not found.ranking and isinstance(scores, Object) and scores.closed:
        add_scores(scores, found)
    if found.ranking and not one.cut and not one.root.closed:
        found.problem("invalid JSON after the ranking")
    return found


def _add_ranking(ranking: Value, found: Found) -> None:
    if isinstance(ranking, str):
        for mention in labels_in(Span.of(ranking), found.lexicon):
            found.add_mention(mention)
    elif isinstance(ranking, Array | Object) and not (ranking.closed or found.cut):
        # What makes no sense inside the ranking leaves none.
        return
    elif isinstance(ranking, Array):
        add_array(ranking, found)
    elif isinstance(ranking, Object):
        add_ranks(rank_pairs(ranking, found.lexicon), found, closed=ranking.closed)


def _reviews(value: Value, lexicon: Lexicon) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, comment in _named_comments(value):
        label, text = label_of(name, lexicon), _comment(comment)
        if label is not None and text:
            found.setdefault(label, well_formed(text))
    return found


def _named_comments(value: Value) -> Iterator[tuple[str, Value]]:
    """Names and comments: of an object by its keys, of a list of objects by a field of theirs."""
    if isinstance(value, Object):
        yield from value.items.items()
    elif isinstance(value, Array):
        for entry in value.items:
            if isinstance(entry, Object):
                fields = {key_name(key): inner for key, inner in entry.items.items()}
                names = [fields[key] for key in LABEL_KEYS if isinstance(fields.get(key), str)]
                if names:
                    yield str(names[0]), entry
                elif len(entry.items) == 1:
                    yield from entry.items.items()


def _comment(value: Value) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, Object):
        texts = [
            inner for key, inner in value.items.items() if isinstance(inner, str) and key_name(key) not in LABEL_KEYS
        ]
        return " ".join(texts) or None
    if isinstance(value, Array):
        return " ".join(item for item in value.items if isinstance(item, str)) or None
    return None


_ENTRY = re.compile(r"\W{0,8}(?P<stem>[^\W\d_][^\r\n]{0,40}?)[ \t\xa0_]{0,4}(?P<letter>(?<![A-Za-z])[A-Z]{1,3})\W{0,8}")
_MOST = 200


def shared_stem(entries: Sequence[object], labels: Sequence[str]) -> str | None:
    """The word before the letter in every entry, in lower case.

    A word that is not known to mean an answer counts only where the entries are as many as the labels and have all
    their letters.
    """
    found = [_ENTRY.fullmatch(entry) if isinstance(entry, str) else None for entry in entries[:_MOST]]
    matches = [match for match in found if match is not None]
    stems = {match["stem"].strip().casefold() for match in matches}
    if len(matches) < max(len(entries), 2) or len(stems) != 1:
        return None
    letters = {match["letter"] for match in matches}
    known = {label.split()[-1] for label in labels if label.split()}
    (stem,) = stems
    complete = letters == known and len(matches) == len(known)
    return stem if stem in ANSWER_WORDS or complete else None
