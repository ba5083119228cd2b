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
import litellm.cost_calculator

_OF_ONE_CALL = frozenset({"callbacks", "success_callback", "failure_callback", "logger_fn", "litellm_logging_obj"})
_APART = "get_token_type_cost_breakdown"
"""Private: of a model that it does not know it says nothing, and so it does of a call that nobody hears of."""

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
    """Have the costs of such calls not taken apart: the sum is another function's, and stays LiteLLM's. Harmless again."""
    apart = getattr(litellm.cost_calculator, _APART, None)
    if apart is None or getattr(apart, "spares_the_unheard", False):
        return
    said, litellm.suppress_debug_info = litellm.suppress_debug_info, True
    with contextlib.suppress(Exception):  # another LiteLLM, which takes them apart
        replaced: Any = _for_listeners(apart, apart(model="", custom_llm_provider=None, usage=litellm.Usage()))
        replaced.spares_the_unheard = True
        setattr(litellm.cost_calculator, _APART, replaced)
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
    try:
        own = logging_obj.dynamic_success_callbacks or logging_obj.dynamic_async_success_callbacks
        if not own and logging_obj.logger_fn is None and not _somebody_listens():
            logging_obj.has_run_logging("async_success")
            logging_obj.has_run_logging("sync_success")
    except AttributeError:
        # Another LiteLLM; it logs.
        return


@cache
def _mark() -> ContextVar[bool] | None:
    try:
        from litellm._internal_context import is_internal_call
    except ImportError:
        return None
    return is_internal_call


def _somebody_listens() -> bool:
    try:
        if (
            litellm.callbacks
            or litellm.input_callback
            or litellm.success_callback
            or litellm.failure_callback
            or litellm.service_callback
            or litellm._async_input_callback
            or litellm._async_success_callback
            or litellm._async_failure_callback
            # LiteLLM counts against it where it logs.
            or litellm.max_budget
        ):
            return True
    except AttributeError:
        # Another LiteLLM.
        return True
    # Two ways to have it print its records.
    return _log.isEnabledFor(logging.DEBUG) or "LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD" in os.environ


def _is_custom(provider: str | None) -> bool:
    """Whether an application's own handler answers, whose calls are its own affair."""
    return provider in [entry["provider"] for entry in litellm.custom_provider_map]
