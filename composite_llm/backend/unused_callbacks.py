"""Leaves out what LiteLLM does for its callbacks after a call, where there is no callback that could see it.

That is a record of the call, put into a queue and made on the caller's event loop, and the taking apart of its costs for
that record: a quarter of what is left of a call. LiteLLM marks its own inner calls so that they have none; there is no
public setting for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import litellm

from composite_llm.backend import compat

_OF_ONE_CALL = frozenset({"callbacks", "success_callback", "failure_callback", "logger_fn", "litellm_logging_obj"})
_UNHEARD: ContextVar[bool] = ContextVar("composite_llm_unheard", default=False)
_log = logging.getLogger("LiteLLM")


@contextlib.contextmanager
def unheard(params: Mapping[str, Any], provider: str | None) -> Iterator[None]:
    """LiteLLM's calls inside are not logged, if nobody would be told.

    Args:
        params: The call's LiteLLM parameters.
        provider: Whom LiteLLM asks.
    """
    mark = _mark()
    if mark is None or not _OF_ONE_CALL.isdisjoint(params) or _somebody_listens() or _is_custom(provider):
        yield
        return
    token, own = mark.set(True), _UNHEARD.set(True)
    try:
        yield
    finally:
        mark.reset(token)
        _UNHEARD.reset(own)


def install_unheard() -> None:
    """Have the costs of such calls not taken apart: the sum is another function's, and stays LiteLLM's. Harmless again.

    Of a model that it does not know LiteLLM says nothing, and so it does of a call that nobody hears of.
    """
    apart = compat.COST_BREAKDOWN.get()
    if apart is None or getattr(apart, "spares_the_unheard", False):
        return
    said, litellm.suppress_debug_info = litellm.suppress_debug_info, True
    with contextlib.suppress(Exception):  # another LiteLLM, which takes them apart
        replaced: Any = _for_listeners(apart, apart(model="", custom_llm_provider=None, usage=litellm.Usage()))
        replaced.spares_the_unheard = True
        compat.COST_BREAKDOWN.put(replaced)
    litellm.suppress_debug_info = said


def _for_listeners(apart: Callable[..., Any], nothing: Any) -> Callable[..., Any]:
    @wraps(apart)
    def taken_apart(*args: Any, **kwargs: Any) -> Any:
        return nothing if _UNHEARD.get() else apart(*args, **kwargs)

    return taken_apart


def leave_unlogged(logging_obj: Any) -> None:
    """The call that LiteLLM handed to us is not logged either, if nobody would be told; not for streams.

    Args:
        logging_obj: LiteLLM's of that call.
    """
    told = (compat.SUCCESS_CALLBACKS, compat.ASYNC_SUCCESS_CALLBACKS, compat.LOGGER_FN)
    if any(not _is_empty(logging_obj, name) for name in told) or _somebody_listens():
        return
    mark_as_run = compat.HAS_RUN_LOGGING.of(logging_obj)
    if mark_as_run is not None:
        mark_as_run("async_success")
        mark_as_run("sync_success")


def _is_empty(holder: Any, name: compat.PrivateName) -> bool:
    """Whether there is such a place for callbacks, with none in it."""
    return any(not getattr(holder, one) for one in name.names if hasattr(holder, one))


@cache
def _mark() -> ContextVar[bool] | None:
    mark = compat.IS_INTERNAL_CALL.get()
    return mark if isinstance(mark, ContextVar) else None


def _somebody_listens() -> bool:
    if litellm.callbacks or litellm.input_callback or litellm.success_callback or litellm.failure_callback:
        return True
    # LiteLLM counts against a budget where it logs.
    if litellm.max_budget or not all(_is_empty(litellm, name) for name in compat.LISTENERS):
        return True
    # Two ways to have it print its records.
    return _log.isEnabledFor(logging.DEBUG) or "LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD" in os.environ


def _is_custom(provider: str | None) -> bool:
    """Whether an application's own handler answers, whose calls are its own affair."""
    return provider in [entry["provider"] for entry in litellm.custom_provider_map]
