"""The shapes a ranking has in JSON: a list of labels or of objects, ranks by label, scores by label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from composite_llm.strategies.ballots.chains import labels_in
from composite_llm.strategies.ballots.found import Found
from composite_llm.strategies.ballots.heads import label_of
from composite_llm.strategies.ballots.json_objects import key_name
from composite_llm.strategies.ballots.lenient_json import Array, Object, Scalar, Value
from composite_llm.strategies.ballots.lexicon import Lexicon
from composite_llm.strategies.ballots.ordinals import place_of
from composite_llm.strategies.ballots.span import Span

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
