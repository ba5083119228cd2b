"""What a reviewer's prose says of each answer: under a heading, or behind its label, of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.heads import head, is_last
from composite_llm.strategies.ballots.items import numbered_item
from composite_llm.strategies.ballots.lexicon import Lexicon
from composite_llm.strategies.ballots.ranking_section import sections_of
from composite_llm.strategies.ballots.span import Span

# Behind the label: a colon, a dash, or a heading's end.
_INTRODUCES = re.compile(
    r"[*_\"')\]]{0,4}[ \t]{0,3}(?:\([^()\r\n]{0,60}\)[ \t]{0,3})?[*_]{0,3}(?:[:\uff1a]|[\u2013\u2014-](?=[ \t]))[*_ \t]{0,4}"
)
_MARKUP = " \t*_#>-"


def critiques_in(prose: str, lexicon: Lexicon) -> dict[str, str]:
    """Label -> what stands below or behind it; nothing of a text that does not go through the answers one by one.

    What follows the heading of the ranking belongs to none.
    """
    sections = sections_of(prose)
    end = min((section.start for section in sections), default=len(prose))
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in Span(prose, 0, end).lines():
        begun = _begun(line, lexicon)
        if begun is not None:
            label, rest = begun
            # Another part about the same answer is not a second review of it.
            current = found.setdefault(label, [])
            current.append(rest)
        elif current is not None:
            current.append(str(line).strip())
    texts = {label: well_formed("\n".join(_told(lines))) for label, lines in found.items()}
    return {label: text for label, text in texts.items() if any(map(str.isalnum, text))}


def _begun(line: Span, lexicon: Lexicon) -> tuple[str, str] | None:
    """The label whose part the line begins, and what it says already."""
    mention = head(line, lexicon)
    if mention is None or mention.label is None or mention.short:
        return None
    if introduction := mention.rest.match(_INTRODUCES):
        return mention.label, str(mention.rest.after(introduction)).strip()
    if is_last(mention) and numbered_item(line, lexicon) is None:
        return mention.label, ""
    return None


def _told(lines: list[str]) -> Iterator[str]:
    return (line for line in lines if line.strip(_MARKUP))
