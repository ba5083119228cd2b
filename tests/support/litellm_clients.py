"""The clients that LiteLLM keeps for each loop that asked."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp


class ClosingLoop(asyncio.SelectorEventLoop):
    """A loop that closes LiteLLM's clients when it ends, as an application does.

    Those that LiteLLM's cache has no room for would be left to the garbage collector, which warns of an unclosed session
    in whichever test it runs.
    """

    def close(self) -> None:
        if not self.is_closed():
            self.run_until_complete(_close_clients_of(self))
        super().close()


async def _close_clients_of(loop: asyncio.AbstractEventLoop) -> None:
    cache: Any = vars(sys.modules["litellm"]).get("in_memory_llm_clients_cache") if "litellm" in sys.modules else None
    for key, client in list(cache.cache_dict.items()) if cache is not None else ():
        session = _session_of(client)
        if session is not None and session._loop is loop:
            await session.close()
            cache.delete_cache(key)


def _session_of(client: Any) -> Any:
    """The session of an OpenAI client, or of one of LiteLLM's handlers."""
    for holder in (getattr(client, "_client", None), getattr(client, "client", None)):
        session = getattr(getattr(holder, "_transport", None), "client", None)
        if isinstance(session, aiohttp.ClientSession):
            return session
    return None
