"""What one reviewer voted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["json", "final_ranking", "mentions", "none"]


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


def candidates_of(ballot: Ballot, label_of: Mapping[str, str]) -> tuple[str, ...]:
    """Translate a ballot's ranking from labels to candidate ids.

    Args:
        ballot: The ballot.
        label_of: Label -> candidate id, as this reviewer was shown them. Labels without an entry are skipped.

    Returns:
        Candidate ids, best first.
    """
    return tuple(label_of[label] for label in ballot.ranking if label in label_of)
