"""Where LiteLLM's call is taken out of its hands, and handed back when anything is unusual.

LiteLLM's handler for the OpenAI SDK has one method that makes the request, with the SDK's client of the endpoint, which
it has chosen by then, as an argument. Within an attempt of ours that client is replaced by one that does the same with
less; what the method makes of answers and errors stays LiteLLM's. Calls of anybody else pass through untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.client import client_for
from composite_llm.backend.fast_openai.unusual import Unusual
from composite_llm.backend.reentry import current_guard

Make = Callable[..., Awaitable[Any]]


def install_seam(handler: Any = None) -> bool:
    """Put ours around the method; harmless when it is there already.

    Args:
        handler: LiteLLM's for the OpenAI SDK; found by itself if absent.

    Returns:
        Whether it is there; a LiteLLM without that method sends everything in its own way.
    """
    handler = handler or compat.OPENAI_CHAT.get()
    name = compat.MAKE_REQUEST.name_in(handler)
    if name is None:
        return False
    own = getattr(handler, name)
    if not getattr(own, "seam", False):
        setattr(handler, name, _around(own))
    return True


def _around(own: Make) -> Make:
    async def make(openai_aclient: Any, *further: Any, **named: Any) -> Any:
        way = current_guard()
        client = client_for(openai_aclient, once=way.once) if way is not None and way.fast else None
        if client is not None:
            try:
                return await own(client, *further, **named)
            except Unusual:
                pass
        return await own(openai_aclient, *further, **named)

    make.seam = True  # type: ignore[attr-defined]
    return make
