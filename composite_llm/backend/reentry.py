"""The run that the present call belongs to, for calls that LiteLLM leads back to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Passage:
    """One attempt's way through LiteLLM.

    Attributes:
        scope: The run that the attempt belongs to.
        fast: It may be sent without the OpenAI SDK.
        once: LiteLLM is asked not to repeat it.
        led_back: Ids of the responses of the runs that LiteLLM led it back to: a response with such an id comes from a
            composite, whose calls count themselves. With fallbacks of a Router, another may be what answers in the end.
    """

    scope: object | None
    fast: bool = False
    once: bool = True
    led_back: set[str] = field(default_factory=set)


_PASSAGE: ContextVar[Passage | None] = ContextVar("composite_llm_passage", default=None)


def current_scope() -> object | None:
    """The scope of the run whose attempt is being made, for the run nested in it; None outside of any."""
    passage = _PASSAGE.get()
    return None if passage is None else passage.scope


def note_led_back(response_id: str) -> None:
    """LiteLLM has led the present attempt back to us, to a run that answers under this id."""
    passage = _PASSAGE.get()
    if passage is not None:
        passage.led_back.add(response_id)


def in_a_run() -> bool:
    """Whether the present call belongs to a run of ours; asked by what looks on, which is not the run nested in it."""
    return _PASSAGE.get() is not None


def current_passage() -> Passage | None:
    """The attempt that is being made; None outside of any."""
    return _PASSAGE.get()


@contextlib.contextmanager
def within(passage: Passage | None) -> Iterator[None]:
    """Make it the current one. LiteLLM and its Router keep context variables on the way to a custom provider."""
    token = _PASSAGE.set(passage)
    try:
        yield
    finally:
        _PASSAGE.reset(token)
