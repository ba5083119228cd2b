"""Where LiteLLM's call is taken out of its hands, and handed back when anything is unusual.

LiteLLM's handler for the OpenAI SDK has one method that makes the request, with the SDK's client of the endpoint, which
it has chosen by then, as an argument. Within an attempt of ours that client is replaced by one that does the same with
less; what the method makes of answers and errors stays LiteLLM's. Calls of anybody else pass through untouched.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import litellm

from composite_llm.backend.fast_openai.client import client_for
from composite_llm.backend.fast_openai.unusual import Unusual
from composite_llm.backend.reentry import current_guard

_METHOD = "make_openai_chat_completion_request"
_PARAMETERS = ("openai_aclient", "data", "timeout", "logging_obj")

Make = Callable[..., Awaitable[Any]]


def install_seam(handler: Any = None) -> bool:
    """Put ours around the method; harmless when it is there already.

    Args:
        handler: LiteLLM's for the OpenAI SDK; found by itself if absent.

    Returns:
        Whether it is there; a LiteLLM without that method sends everything in its own way.
    """
    handler = handler or getattr(litellm.main, "openai_chat_completions", None)
    own = getattr(handler, _METHOD, None)
    if own is None or getattr(own, "seam", False):
        return own is not None
    if tuple(inspect.signature(own).parameters) != _PARAMETERS:
        return False
    setattr(handler, _METHOD, _around(own))
    return True


def _around(own: Make) -> Make:
    async def make(openai_aclient: Any, data: Any, timeout: Any, logging_obj: Any) -> Any:
        way = current_guard()
        client = client_for(openai_aclient, once=way.once) if way is not None and way.fast else None
        if client is not None:
            try:
                return await own(openai_aclient=client, data=data, timeout=timeout, logging_obj=logging_obj)
            except Unusual:
                pass
        return await own(openai_aclient=openai_aclient, data=data, timeout=timeout, logging_obj=logging_obj)

    make.seam = True  # type: ignore[attr-defined]
    return make
