"""The run that the present call belongs to, for calls that LiteLLM leads back to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Passage:
    """One attempt's way through LiteLLM.

    Attributes:
        scope: The run that the attempt belongs to.
        came_back: LiteLLM led it back to us: the node is a composite by another name, and its calls count themselves.
    """

    scope: object | None
    came_back: bool = False


_PASSAGE: ContextVar[Passage | None] = ContextVar("composite_llm_passage", default=None)


def current_scope() -> object | None:
    """The scope of the run whose attempt is being made, for the run nested in it; None outside of any."""
    passage = _PASSAGE.get()
    if passage is None:
        return None
    passage.came_back = True
    return passage.scope


@contextlib.contextmanager
def within(scope: object | None) -> Iterator[Passage]:
    """Make `scope` the current one. LiteLLM and its Router keep context variables on the way to a custom provider."""
    passage = Passage(scope)
    token = _PASSAGE.set(passage)
    try:
        yield passage
    finally:
        _PASSAGE.reset(token)
