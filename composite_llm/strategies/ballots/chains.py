"""Labels in one line: "Response C > Response A = Response B", "C, A and B", or just the one at its head."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composite_llm.strategies.ballots.heads import head, is_last, whole
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.span import Span

BETTER = re.compile(r"&gt;|[>\u227b\u2192\u2265\u27f6\u27a1]\ufe0f?")

_CHAIN = re.compile(f"(?:{BETTER.pattern})=?|=")
_AND = r"(?:and|then|und|et|en|og|och|ja|\u03ba\u03b1\u03b9)(?!\w)|(?-i:(?<=[ \t])[eiy\u0438](?=[ \t]+[^\W\d_a-z\u0430-\u044f]))"
_LIST = re.compile(
    rf",[ \t]*+(?:{_AND})|[>\u227b\u2192\u2265=,;/&+\uff0c\u3001\uff1b]|(?<!\w)(?:{_AND})", re.IGNORECASE
)
# In a piece, the label before the ">" is looked for no further back.
_TAIL = 200


def labels_in(line: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of a ranking line: a ">" chain, a plain enumeration of nothing but labels, or the one at its head."""
    chain = max(chains(line, lexicon), key=len, default=[])
    if len(chain) > 1:
        return chain
    if len(enumerated := _enumeration(line, lexicon)) > 1:
        return enumerated
    first = head(line, lexicon)
    return [first] if first else []


def _enumeration(line: Span, lexicon: Lexicon) -> list[Mention]:
    """The labels of a line of nothing else; none when there is anything else."""
    links = [whole(piece, lexicon) for piece in line.pieces(_LIST)]
    if links[-1] is None and line.ends_text:
        # Whatever the end of the text has cut says nothing about the links before it.
        links.pop()
    known = [link for link in links if link]
    return known if len(known) == len(links) else []


def chains(line: Span, lexicon: Lexicon, *, full_first: bool = False) -> Iterator[list[Mention]]:
    """The runs of labels linked by ">" or "=" in a line; with `full_first`, only those that begin with a full label."""
    *links, last = line.pieces(_CHAIN)
    run: list[Mention] = []
    for piece in links:
        link = whole(piece, lexicon) if run else None
        if link:
            run.append(link)
            continue
        if run:
            yield _closed(run, piece, lexicon)
        first = _tail(piece, lexicon)
        run = [first] if first and not (full_first and first.short) else []
    if run:
        yield _closed(run, last, lexicon)


def _closed(run: list[Mention], piece: Span, lexicon: Lexicon) -> list[Mention]:
    """The run with the label that a piece of more than a label begins with."""
    link = head(piece, lexicon)
    return [*run, link] if link else run


def _tail(piece: Span, lexicon: Lexicon) -> Mention | None:
    """The full label a piece ends with ("My order is Response C"); a piece of nothing but a label counts too."""
    mentions = list(lexicon.full_in(piece.last(_TAIL)))
    return mentions[-1] if mentions and is_last(mentions[-1]) else whole(piece, lexicon)
