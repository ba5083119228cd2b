"""How much of a trace a page shows; whatever is left out is said where it is missing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.model.trace import Trace


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps a page usable.

    Attributes:
        calls: Calls that get a row and a card.
        tool_calls: Tools that get a row and a card.
        text: Characters of one text.
        all_texts: Characters of all texts together.
        label: Characters of a name or a model.
        sentence: Characters of an error or a reason.
        lines: Entries of a list, such as the reasons in `degraded`, or reviewers.
    """

    calls: int = 400
    tool_calls: int = 200
    text: int = 60_000
    all_texts: int = 4_000_000
    label: int = 120
    sentence: int = 1_000
    lines: int = 100

    def text_share(self, trace: Trace) -> int:
        """Characters of each text of this trace: a fair share of all, but never less than a few lines."""
        texts = min(len(trace.calls), self.calls) + 2 * min(len(trace.tool_calls), self.tool_calls)
        return max(1_000, min(self.text, self.all_texts // max(texts, 1)))


PAGE = Limits()
FRAGMENT = Limits(calls=60, tool_calls=30, text=8_000, all_texts=200_000, lines=20)
"""Of a notebook, which keeps every output in its file."""


def ends_of(total: int, limit: int) -> tuple[range, range]:
    """The indices to show of a list that may be too long: its start and, where something is left out, its end.

    A run's last calls are its answer, so they are always among those shown.
    """
    if total <= limit:
        return range(total), range(0)
    tail = max(1, limit // 8)
    return range(limit - tail), range(total - tail, total)


def shortened(label: str, limit: int) -> str:
    """A label on one line, with an ellipsis where it was cut."""
    line = " ".join(label[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
