"""Cutting a text into the pieces of a stream."""

from collections.abc import Iterator
from itertools import cycle


def pieces(text: str, sizes: int | list[int]) -> Iterator[str]:
    """Cut a text into pieces of these sizes in turn."""
    at = 0
    for size in cycle([sizes] if isinstance(sizes, int) else sizes):
        if at >= len(text):
            return
        yield text[at : at + size]
        at += size
