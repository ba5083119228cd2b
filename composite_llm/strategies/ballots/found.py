"""A ranking while it is collected, with notes for people on what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention

_MAX_PROBLEMS = 12
_MAX_QUOTED = 40


@dataclass(slots=True)
class Found:
    """A ranking being collected.

    Attributes:
        lexicon: The known labels.
        ranking: Labels so far, best first.
        problems: Notes so far, as the keys of a dictionary: each once, in order.
        cut: Whether the text ended too early.
    """

    lexicon: Lexicon
    ranking: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    cut: bool = False

    @property
    def notes(self) -> Sequence[str]:
        """The first problems; nobody reads five hundred."""
        return tuple(islice(self.problems, _MAX_PROBLEMS))

    def problem(self, note: str) -> None:
        """Note something that was dropped or missing."""
        self.problems[note] = None

    def add(self, label: str) -> None:
        """Rank a label next."""
        if label in self.ranking:
            self.problem(f"duplicate {label} dropped")
        else:
            self.ranking.append(label)

    def unknown(self, name: str) -> None:
        """Note something that stands for a label and is none."""
        clean = well_formed(" ".join(name[: 2 * _MAX_QUOTED].split()))
        shown = clean if len(clean) <= _MAX_QUOTED else clean[: _MAX_QUOTED - 1] + "…"
        self.problem(f"unknown label '{shown}' dropped")

    def add_mention(self, mention: Mention) -> None:
        """Rank a mentioned label next, if it is one."""
        if mention.label is None:
            self.unknown(mention.name)
        else:
            self.add(mention.label)

    def take(self, mentions: Iterable[Mention]) -> None:
        """Rank labels mentioned in running text, minding one that the end of the text may have cut."""
        for mention in mentions:
            if mention.label is not None and self.lexicon.may_be_cut(mention, self.ranking):
                self.cut = True
            else:
                self.add_mention(mention)
