"""From the text of a reviewer to a ballot: tolerant of how models write, strict about what counts as a vote.

A reviewer sees the candidate answers under neutral labels ("Response A", "Response B", ..., "Response AA") and is asked
for `{"ranking": ["Response C", "Response A", ...], "reviews": {"Response A": "..."}}`, best first. `parse_ballot` reads
what came back. It tries, in this order, and stops at the first that yields a label:

1. JSON objects in closed ``` fences (language `json` or none), the last usable one;
2. JSON objects anywhere in the text, the last usable complete one, else one that is cut off or broken further on;
3. the last usable `FINAL RANKING` section: a numbered or bulleted list, or an inline chain "Response C > Response A";
4. the longest numbered list or ">" chain of full labels anywhere, unless the text refuses to rank.

Reading less is always preferred to reading something wrong: a label that the end of the text may have cut short is
dropped, as are rank numbers of which the first are missing and scores that are incomplete.

The time is linear in the text: all patterns have possessive or bounded repeats, nothing recurses without a limit, and
the search for JSON has a budget of work.
"""

from __future__ import annotations

from composite_llm.strategies.ballots.ballot import Ballot, Form, candidates_of
from composite_llm.strategies.ballots.lexicon import labels
from composite_llm.strategies.ballots.parse import parse_ballot

__all__ = ["Ballot", "Form", "candidates_of", "labels", "parse_ballot"]
