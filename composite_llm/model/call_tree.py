"""Which calls ran inside of which: the tree that `parent_id` describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar


class TreeCall(Protocol):
    """A call, as far as the tree needs to know it."""

    @property
    def id(self) -> str:
        """Its own id."""
        ...

    @property
    def parent_id(self) -> str | None:
        """The id of the call that it ran inside of; None for the run's own."""
        ...


CallT = TypeVar("CallT", bound=TreeCall)


class CallTree(Generic[CallT]):
    """Calls by the call that they ran inside of.

    Args:
        calls: In the order in which they began.
    """

    def __init__(self, calls: Iterable[CallT] = ()) -> None:
        self._children: dict[str | None, list[CallT]] = {}
        for call in calls:
            self.add(call)

    def add(self, call: CallT) -> None:
        """One more call, the last to begin."""
        self._children.setdefault(call.parent_id, []).append(call)

    def children(self, parent_id: str | None) -> Sequence[CallT]:
        """The calls directly inside of one call, or the run's own for None."""
        return self._children.get(parent_id, ())

    def subtree(self, call: CallT) -> Iterator[CallT]:
        """A call and everything that ran inside of it, each before what ran inside of it."""
        yield call
        yield from self.descendants(call.id)

    def descendants(self, parent_id: str | None) -> Iterator[CallT]:
        """Everything that ran inside of a call; all calls for None.

        Without recursion, since a trace from a file may nest deeper than Python does, and each call once, should its
        parents go round in a circle.
        """
        waiting = list(reversed(self.children(parent_id)))
        seen: set[int] = set()
        while waiting:
            call = waiting.pop()
            if id(call) not in seen:
                seen.add(id(call))
                yield call
                waiting.extend(reversed(self.children(call.id)))
