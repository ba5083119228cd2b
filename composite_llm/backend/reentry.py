"""The run that the present call belongs to, for calls that LiteLLM leads back to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class ReentryGuard:
    """One attempt's way through LiteLLM.

    Attributes:
        scope: The run that the attempt belongs to.
        fast: It may be sent without the OpenAI SDK.
        once: LiteLLM is asked not to repeat it.
        reentered: Ids of the responses of the runs that LiteLLM led it back to: a response with such an id comes from a
            composite, whose calls count themselves. With fallbacks of a Router, another may be what answers in the end.
    """

    scope: object | None
    fast: bool = False
    once: bool = True
    reentered: set[str] = field(default_factory=set)


_GUARD: ContextVar[ReentryGuard | None] = ContextVar("composite_llm_reentry_guard", default=None)


def current_scope() -> object | None:
    """The scope of the run whose attempt is being made, for the run nested in it; None outside of any."""
    guard = _GUARD.get()
    return None if guard is None else guard.scope


def note_reentry(response_id: str) -> None:
    """LiteLLM has led the present attempt back to us, to a run that answers under this id."""
    guard = _GUARD.get()
    if guard is not None:
        guard.reentered.add(response_id)


def in_a_run() -> bool:
    """Whether the present call belongs to a run of ours; asked by what looks on, which is not the run nested in it."""
    return _GUARD.get() is not None


def current_guard() -> ReentryGuard | None:
    """The attempt that is being made; None outside of any."""
    return _GUARD.get()


@contextlib.contextmanager
def guarded(guard: ReentryGuard | None) -> Iterator[None]:
    """Make it the current one. LiteLLM and its Router keep context variables on the way to a custom provider."""
    token = _GUARD.set(guard)
    try:
        yield
    finally:
        _GUARD.reset(token)
