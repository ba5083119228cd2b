"""Ballots as they are asked for: `{"ranking": [...], "reviews": {...}}`."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.strategies.ballots.chains import labels_in
from composite_llm.strategies.ballots.found import Found, printable
from composite_llm.strategies.ballots.heads import label_of
from composite_llm.strategies.ballots.json_entries import add_array, add_ranks, add_scores, rank_pairs
from composite_llm.strategies.ballots.json_objects import (
    RANKING,
    REVIEWS,
    SCORES,
    JsonBallot,
    fences_in,
    objects_in,
    without,
)
from composite_llm.strategies.ballots.lenient_json import Array, Object, Value
from composite_llm.strategies.ballots.lexicon import Lexicon
from composite_llm.strategies.ballots.span import Span


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


def read_json(text: str, lexicon: Lexicon) -> JsonReading:
    """Read the last usable JSON ballot: in a fence, else complete, else the complete part of one that is not."""
    anywhere = list(objects_in(Span.of(text)))
    fenced = [one for body in fences_in(text) for one in objects_in(body) if one.relevant and one.root.closed]
    relevant = [one for one in anywhere if one.relevant]
    whole = [one for one in relevant if one.root.closed]
    partial = [one for one in relevant if not one.root.closed]
    nothing, reviews = Found(lexicon), dict[str, str]()
    for one in (*reversed(fenced), *reversed(whole), *reversed(partial)):
        found, comments = _ranking_of(one, lexicon), _reviews(one.field(REVIEWS), lexicon)
        if found.ranking:
            return JsonReading(found, comments, "", cut=False)
        reviews = reviews or comments
        nothing.problems |= found.problems
    return JsonReading(nothing, reviews, without(text, relevant), any(one.cut for one in anywhere))


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
    for key, comment in value.items.items() if isinstance(value, Object) else ():
        label = label_of(key, lexicon)
        if label is not None and isinstance(comment, str):
            found.setdefault(label, printable(comment))
    return found
