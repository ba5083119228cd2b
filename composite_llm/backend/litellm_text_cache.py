"""Kept deliberations in LiteLLM's own cache where that is shared (Redis), so that several proxies use one another's."""

from __future__ import annotations

import logging
from typing import Any

import litellm

from composite_llm.backend.text_cache import MAX_ENTRIES, MemoryTextCache

_log = logging.getLogger("composite_llm")


class LiteLLMTextCache:
    """`TextCache`: this process's memory, and behind it LiteLLM's cache if one is configured that others share.

    Args:
        max_entries: Of the memory.
        max_characters: Of the memory.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_characters: int | None = None) -> None:
        self._memory = MemoryTextCache(max_entries, max_characters=max_characters)

    async def get(self, key: str) -> str | None:
        """From memory, else from the shared cache."""
        value = await self._memory.get(key)
        shared = _shared_cache()
        if value is None and shared is not None:
            try:
                text = await shared.async_get_cache(key)
            except Exception as error:  # noqa: BLE001  # a cache that is down must not end a run
                _log.warning("shared cache not readable: %s", type(error).__name__)
            else:
                value = text if isinstance(text, str) else None
        return value

    async def put(self, key: str, value: str, max_age_s: float) -> None:
        """Into both."""
        await self._memory.put(key, value, max_age_s)
        shared = _shared_cache()
        if shared is not None:
            try:
                await shared.async_set_cache(key, value, ttl=int(max_age_s))
            except Exception as error:  # noqa: BLE001  # as above
                _log.warning("shared cache not writable: %s", type(error).__name__)


def _shared_cache() -> Any:
    cache = getattr(litellm.cache, "cache", None)
    return cache if type(cache).__name__ in ("RedisCache", "RedisClusterCache", "DualCache") else None
