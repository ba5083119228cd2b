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

    @property
    def heading(self) -> str:
        """What people read."""
        return self.members[0].call.heading


def call_nodes(trace: Trace) -> list[CallNode]:
    """All calls, each followed by those below it, stages in the order in which they began.

    A trace may come from a file: a call whose parent is missing counts as the run's own, and a circle of parents is cut.
    """
    nodes = [
        CallNode(
            call,
            spent=call.usage,
            cost_usd=call.cost_usd,
            without_usage=sum(attempt.without_usage for attempt in call.attempts),
        )
        for call in trace.calls
    ]
    first_of: dict[str, CallNode] = {}
    for node in nodes:
        first_of.setdefault(node.call.id, node)
    for node in nodes:
        parent = first_of.get(node.call.parent_id) if node.call.parent_id is not None else None
        if parent is not None and parent is not node:
            node.parent = parent
            parent.children.append(node)
    ordered = _walk([node for node in nodes if node.parent is None])
    if len(ordered) < len(nodes):
        placed = set(map(id, ordered))
        ordered += _walk([_alone(node) for node in nodes if id(node) not in placed])
    for node in reversed(ordered):
        if node.parent is not None:
            node.parent.spent = node.parent.spent + node.spent
            node.parent.without_usage += node.without_usage
            node.parent.cost_usd = _sum(node.parent.cost_usd, node.cost_usd)
    return ordered


def stages(ordered: Sequence[CallNode]) -> list[Stage]:
    """The stages, each composite's own after the stage that it is a member of."""
    members: dict[tuple[int | None, str], list[CallNode]] = {}
    for node in ordered:
        members.setdefault((None if node.parent is None else id(node.parent), node.call.stage), []).append(node)
    return [Stage(stage, nodes[0].parent, nodes) for (_, stage), nodes in members.items()]


def _walk(roots: Sequence[CallNode]) -> list[CallNode]:
    """Down the tree without recursion, since a file may nest deeper than Python does."""
    ordered: list[CallNode] = []
    waiting = _by_stage(roots)[::-1]
    while waiting:
        node = waiting.pop()
        node.depth = 0 if node.parent is None else node.parent.depth + 1
        ordered.append(node)
        waiting += _by_stage(node.children)[::-1]
    return ordered


def _by_stage(nodes: Sequence[CallNode]) -> list[CallNode]:
    order: dict[str, int] = {}
    for node in nodes:
        order.setdefault(node.call.stage, len(order))
    return sorted(nodes, key=lambda node: order[node.call.stage])


def _alone(node: CallNode) -> CallNode:
    node.parent = None
    node.children = []
    return node


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right
