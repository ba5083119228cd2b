"""What a strategy says of one of its stages before a run: everything else in the package goes by it."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.config.node import Node


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage: calls that are made at once.

    Attributes:
        name: Unique in its strategy, as in the trace.
        role: The part its nodes play.
        nodes: Who is asked, in configuration order.
        option: The option that holds the nodes, or would if it were given. Stages of the same option are made smaller
            together, by the same members. None for a node that is there in any case.
        reads: Earlier stages whose answers stand in its prompts.
        needs: So many members of the first stage it takes for this one to make sense: a single answer is not reviewed.
        optional: Whether it may be left out to stay under the run's caps.
        final: Whether its answer goes to the caller.
        title: Its heading for people; the name if blank.
        reads_at_most: So many of the answers that it reads stand in one prompt at most; None for all.
        expendable: Whether it is left out under the run's caps before anybody of the first stage is; only of an optional one.
        avoidable: Whether it is not asked where the stages before it already came to an end.
    """

    name: str
    role: str
    nodes: tuple[Node, ...]
    option: str | None = None
    reads: tuple[str, ...] = ()
    needs: int = 1
    optional: bool = False
    final: bool = False
    title: str = ""
    reads_at_most: int | None = None
    avoidable: bool = False
    expendable: bool = False

    @property
    def heading(self) -> str:
        """What people read."""
        return self.title or self.name.replace("_", " ").capitalize()
