"""The word that a reviewer put in the place of the labels' own: a translation that all entries of its ranking share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from composite_llm.model.review_labels import ANSWER_WORDS

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
