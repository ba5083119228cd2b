"""Rankings in a text that has no JSON and no heading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from composite_llm.strategies.ballots.chains import BETTER, chains
from composite_llm.strategies.ballots.heads import has_medal
from composite_llm.strategies.ballots.items import Item, mentions_of, numbered_item
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.span import MAX_PARTS, Span
from composite_llm.strategies.ballots.tables import table_ranking


def longest_run(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """The longest numbered list or ">" chain of full labels anywhere in the text; the last of several as long.

    A table with places or scores comes before them, and so do medals.
    """
    best: Sequence[Mention] = table_ranking(Span.of(text), lexicon) or _medals(text, lexicon)
    if best:
        return best
    if next(lexicon.full_in(Span.of(text)), None) is None:
        return best
    for run in _runs(text, lexicon):
        known = {mention.label for mention in run if mention.label}
        # All unknown labels of the best run so far count as one.
        if len(known) >= max(2, len({mention.label for mention in best})):
            best = run
    return best


def _medals(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """The labels behind medals, however short: nothing else is decorated so."""
    lines = [line for line in Span.of(text).lines() if has_medal(line)][:MAX_PARTS]
    items = [item for line in lines if (item := numbered_item(line, lexicon))]
    return list(mentions_of(items)) if len(items) > 1 else []


def _runs(text: str, lexicon: Lexicon) -> Iterator[Sequence[Mention]]:
    items: list[Item] = []
    for line in Span.of(text).lines():
        if line.has(BETTER):
            yield from chains(line, lexicon, full_first=True)
        item = numbered_item(line, lexicon)
        if item is None:
            continue
        if items and item.number <= 1 < items[-1].number:
            yield _full(items)
            items = []
        items.append(item)
    yield _full(items)


def _full(items: Sequence[Item]) -> list[Mention]:
    return [mention for mention in mentions_of(items) if not mention.short]
