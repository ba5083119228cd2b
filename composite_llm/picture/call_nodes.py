"""The calls of a run as a family: each above what ran below it, with the sums of both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import NO_USAGE, Usage


@dataclass(slots=True, eq=False)
class CallNode:
    """One call among the others.

    Attributes:
        call: The call.
        parent: The call that it ran below; None for the run's own.
        depth: 0 for the run's own calls.
        children: The calls directly below.
        spent: Tokens of the call and everything below.
        cost_usd: Its money; None as soon as one part is unknown.
        without_usage: Attempts of it and below that were cut off before they told their tokens.
    """

    call: Call
    parent: CallNode | None = None
    depth: int = 0
    children: list[CallNode] = field(default_factory=list)
    spent: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    without_usage: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """The calls of one stage, of the run itself or of one composite within it."""

    name: str
    parent: CallNode | None
    members: Sequence[CallNode]


def call_nodes(trace: Trace) -> list[CallNode]:
    """All calls, each followed by those below it, stages in the order in which they began.

    A trace may come from a file: a call whose parent is missing counts as the run's own, and a circle of parents is cut.
    """
    kin = [
        CallNode(
            call,
            spent=call.usage,
            cost_usd=call.cost_usd,
            without_usage=sum(attempt.without_usage for attempt in call.attempts),
        )
        for call in trace.calls
    ]
    first_of: dict[str, CallNode] = {}
    for one in kin:
        first_of.setdefault(one.call.id, one)
    for one in kin:
        parent = first_of.get(one.call.parent_id) if one.call.parent_id is not None else None
        if parent is not None and parent is not one:
            one.parent = parent
            parent.children.append(one)
    ordered = _walk([one for one in kin if one.parent is None])
    if len(ordered) < len(kin):
        placed = set(map(id, ordered))
        ordered += _walk([_alone(one) for one in kin if id(one) not in placed])
    for one in reversed(ordered):
        if one.parent is not None:
            one.parent.spent = one.parent.spent + one.spent
            one.parent.without_usage += one.without_usage
            one.parent.cost_usd = _sum(one.parent.cost_usd, one.cost_usd)
    return ordered


def stages(ordered: Sequence[CallNode]) -> list[Stage]:
    """The stages, each composite's own after the stage that it is a member of."""
    members: dict[tuple[int | None, str], list[CallNode]] = {}
    for one in ordered:
        members.setdefault((None if one.parent is None else id(one.parent), one.call.stage), []).append(one)
    return [Stage(stage, found[0].parent, found) for (_, stage), found in members.items()]


def _walk(roots: Sequence[CallNode]) -> list[CallNode]:
    """Down the tree without recursion, since a file may nest deeper than Python does."""
    ordered: list[CallNode] = []
    waiting = _by_stage(roots)[::-1]
    while waiting:
        one = waiting.pop()
        one.depth = 0 if one.parent is None else one.parent.depth + 1
        ordered.append(one)
        waiting += _by_stage(one.children)[::-1]
    return ordered


def _by_stage(kin: Sequence[CallNode]) -> list[CallNode]:
    order: dict[str, int] = {}
    for one in kin:
        order.setdefault(one.call.stage, len(order))
    return sorted(kin, key=lambda one: order[one.call.stage])


def _alone(one: CallNode) -> CallNode:
    one.parent = None
    one.children = []
    return one


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right
