"""The run that the present call belongs to, for calls that LiteLLM leads back to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_SCOPE: ContextVar[object | None] = ContextVar("composite_llm_scope", default=None)


def current_scope() -> object | None:
    """The scope of the run whose attempt is being made; None outside of any."""
    return _SCOPE.get()


@contextlib.contextmanager
def within(scope: object | None) -> Iterator[None]:
    """Make `scope` the current one. LiteLLM and its Router keep context variables on the way to a custom provider."""
    token = _SCOPE.set(scope)
    try:
        yield
    finally:
        _SCOPE.reset(token)
