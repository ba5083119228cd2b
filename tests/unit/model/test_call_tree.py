"""Which calls ran inside of which."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.model.call_tree import CallTree


@dataclass(frozen=True)
class Node:
    id: str
    parent_id: str | None = None


def _ids(nodes: object) -> list[str]:
    return [node.id for node in nodes]  # type: ignore[attr-defined]


def test_a_subtree_has_each_call_before_what_ran_inside_of_it_in_the_order_of_their_beginnings() -> None:
    a, b = Node("a"), Node("b")
    tree = CallTree([a, b, Node("a1", "a"), Node("b1", "b"), Node("a2", "a"), Node("a11", "a1")])
    assert _ids(tree.children(None)) == ["a", "b"]
    assert _ids(tree.subtree(a)) == ["a", "a1", "a11", "a2"]
    assert _ids(tree.descendants(None)) == ["a", "a1", "a11", "a2", "b", "b1"]


def test_a_circle_of_parents_and_deep_nesting_end() -> None:
    circle = Node("x", "y")
    assert _ids(CallTree([circle, Node("y", "x")]).descendants("x")) == ["y", "x"]
    chain = [Node("0"), *(Node(str(depth), str(depth - 1)) for depth in range(1, 5000))]
    assert len(list(CallTree(chain).subtree(chain[0]))) == 5000
