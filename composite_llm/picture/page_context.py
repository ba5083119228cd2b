"""What is known of a run beside its trace, where it comes out of a store. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from composite_llm.model.trace import Trace

Ending = Literal["running", "ok", "failed", "cancelled", "lost"]


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a page says around a trace.

    Attributes:
        ending: How the run stands; None for what the trace says itself.
        kept: How much of texts the trace has still: all, beginnings, or nothing.
        question: What was asked, where that was kept; a trace has no question.
        origin: Where the run came from, as pairs of a name and a value.
    """

    ending: Ending | None = None
    kept: Literal["metadata", "preview", "full"] = "full"
    question: str | None = None
    origin: Sequence[tuple[str, str]] = ()

    def ending_of(self, trace: Trace) -> Ending:
        """How the run stands."""
        return self.ending or trace.ending

    def named(self, what: str) -> str:
        """What a text is called: of one that was cut before it was kept, only the beginning is there."""
        return f"{what} (beginning)" if self.kept == "preview" else what

    @property
    def remarks(self) -> list[str]:
        """What a reader has to know about the page rather than about the run."""
        said = {
            "full": [],
            "preview": ["Only the beginning of each text was stored (privacy: preview)."],
            "metadata": ["Answers, reviews, tool arguments and tool results were not stored (privacy: metadata)."],
        }[self.kept]
        return [*said, "The run is under way: a call is shown when it is done."] if self.ending == "running" else said


BARE = PageContext()
"""Of a trace by itself."""
