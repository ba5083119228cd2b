"""Which composites of a proxy lead to which others: cycles, and nesting that is too deep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from composite_llm.config.plan import MAX_DEPTH
from composite_llm.config.problems import Problem
from composite_llm.proxy.config.file import Setting


@dataclass(frozen=True, slots=True)
class Edge:
    """One node of a composite that is a name of another.

    Attributes:
        key: The node's path in its deployment.
        to: The name.
        place: Where it stands.
    """

    key: str
    to: str
    place: Setting


Graph = Mapping[str, Sequence[Edge]]


def graph_problems(graph: Graph) -> Iterator[Problem]:
    """Each cycle once, and each name from which composites nest deeper than they may."""
    told: set[frozenset[str]] = set()
    for name in graph:
        for path in _paths(graph, (name,), ()):
            names = [name, *(edge.to for edge in path)]
            edge = path[0]
            if names[-1] == name and frozenset(names) not in told:
                told.add(frozenset(names))
                yield edge.place.problem(f"{edge.key}: a cycle: {' > '.join(names)}")
            elif len(path) == MAX_DEPTH and len(set(names)) == len(names):
                yield edge.place.problem(
                    f"{edge.key}: composites nest too deep: {' > '.join(names)}; allowed: {MAX_DEPTH} levels"
                )
                break


def _paths(graph: Graph, names: tuple[str, ...], path: tuple[Edge, ...]) -> Iterator[tuple[Edge, ...]]:
    """All ways from a composite over others, to itself or as far as one too deep."""
    for edge in graph.get(names[-1], ()):
        here = (*path, edge)
        if edge.to == names[0]:
            yield here
        elif edge.to in names:
            # A cycle of others, which is told at one of them.
            continue
        elif len(here) <= len(graph):
            yield here
            yield from _paths(graph, (*names, edge.to), here)
