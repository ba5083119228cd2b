"""Rankings in a text that has no JSON and no heading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from composite_llm.strategies.ballots.chains import BETTER, chains
from composite_llm.strategies.ballots.items import Item, mentions_of, numbered_item
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention
from composite_llm.strategies.ballots.span import Span


def longest_run(text: str, lexicon: Lexicon) -> Sequence[Mention]:
    """The longest numbered list or ">" chain of full labels anywhere in the text; the last of several as long."""
    best: Sequence[Mention] = []
    if next(lexicon.full_in(Span.of(text)), None) is None:
        return best
    for run in _runs(text, lexicon):
        known = {mention.label for mention in run if mention.label}
        # All unknown labels of the best run so far count as one.
        if len(known) >= max(2, len({mention.label for mention in best})):
            best = run
    return best


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
