"""A reviewer's reply, read: the vote and the critiques by author, and what of it the chairman is given. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from composite_llm.backend.interface import Reply
from composite_llm.engine.subcall_request import Review
from composite_llm.model.messages import text_of
from composite_llm.model.review_labels import by_author, relabelled
from composite_llm.strategies.ballots import Ballot, candidates_of, labels, parse_ballot


@dataclass(frozen=True, slots=True)
class ReadReview:
    """One reviewer's reply, read.

    Attributes:
        reviewer: Its name.
        ballot: By its own labels.
        ranking: By authors, best first.
        critiques: By author, with authors' names in the place of labels.
        material: What the chairman is given, with the labels that all share; blank where there is nothing to give.
    """

    reviewer: str
    ballot: Ballot
    ranking: tuple[str, ...]
    critiques: Mapping[str, str]
    material: str

    @property
    def as_shown(self) -> bool:
        """Whether the ballot repeats the order in which the answers were shown."""
        shown = list(labels(len(self.ballot.ranking)))
        return list(self.ballot.ranking) == shown if len(shown) > 1 else False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the reply of one reviewer.

    Attributes:
        reviewer: Its name.
        authors: All authors, in the order of the labels that all share.
        order: Places in `authors`, in the order in which this reviewer sees their answers.
    """

    reviewer: str
    authors: Sequence[str]
    order: Sequence[int]

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels, and whose answers they are."""
        return dict(zip(labels(len(self.order)), (self.authors[place] for place in self.order), strict=True))

    def read(self, reply: Reply) -> ReadReview:
        """The reply, read."""
        text, cut_off = text_of(reply.message.get("content")), reply.finish_reason == "length"
        own = self.labels
        ballot = parse_ballot(text, tuple(own), cut_off=cut_off)
        shared = labels(len(self.order))
        common = dict(zip(shared, (shared[place] for place in self.order), strict=True))
        return ReadReview(
            self.reviewer,
            ballot,
            candidates_of(ballot, own),
            {own[label]: by_author(review, own) for label, review in ballot.reviews.items()},
            _material(ballot, text, common, cut_off=cut_off),
        )

    def record(self, reply: Reply) -> Review:
        """What the trace says of the reply."""
        return Review(self.labels, self.read(reply).critiques)


def _material(ballot: Ballot, text: str, common: Mapping[str, str], *, cut_off: bool) -> str:
    """The review with the labels that all share in the place of the reviewer's own."""
    if ballot.reviews:
        told = {label: review for label, review in ballot.reviews.items() if not repeats(review)}
        return "\n".join(f"{common[label]}: {relabelled(review, common)}" for label, review in told.items())
    if ballot.abstained:
        # A fragment of JSON, or a loop, is nothing to weigh; a chairman was seen to answer with a copy of it.
        worthless = cut_off or _HOLDS_JSON.search(text) is not None or repeats(text)
        return "" if worthless else relabelled(text, common)
    if ballot.form != "json" and all(label in text for label in ballot.ranking):
        return relabelled(text, common)
    # Short labels ("C > A") look like words; what is certain is the ranking that was read, so that is told.
    prose = "" if ballot.form == "json" else re.split(r"(?i)\W*final ranking", text, maxsplit=1)[0].strip()
    told_ranking = "Ranking: " + " > ".join(common[label] for label in ballot.ranking)
    return f"{relabelled(prose, common)}\n{told_ranking}".strip()


_HOLDS_JSON = re.compile(r"```|[{\[]\s*[\"'\u201c{\[]|[\"'\u201d]\s*:\s*[\"'\u201c{\[]")
_SHORTEST_LOOP = 160
_OF_A_LOOP = 0.2
"""What deflate leaves of a text that says the same over and over; of prose of that length it leaves half."""


def repeats(text: str) -> bool:
    """Whether a text goes round in a loop, as the smallest models do."""
    raw = text.encode("utf-8", errors="replace")
    return len(raw) >= _SHORTEST_LOOP and len(zlib.compress(raw)) < _OF_A_LOOP * len(raw)
