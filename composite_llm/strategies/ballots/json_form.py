"""Ballots as they are asked for: `{"ranking": [...], "reviews": {...}}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.chains import labels_in
from composite_llm.strategies.ballots.found import Found
from composite_llm.strategies.ballots.heads import label_of
from composite_llm.strategies.ballots.json_entries import (
    LABEL_KEYS,
    add_array,
    add_ranks,
    add_scores,
    rank_pairs,
    strings_in,
)
from composite_llm.strategies.ballots.json_objects import (
    RANKING,
    REVIEWS,
    SCORES,
    JsonBallot,
    fences_in,
    key_name,
    objects_in,
    without,
)
from composite_llm.strategies.ballots.lenient_json import Array, Object, Value
from composite_llm.strategies.ballots.lexicon import Lexicon
from composite_llm.strategies.ballots.ranking_section import is_worst_first
from composite_llm.strategies.ballots.refusal import declines, is_example
from composite_llm.strategies.ballots.span import Span
from composite_llm.strategies.ballots.stems import shared_stem


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
