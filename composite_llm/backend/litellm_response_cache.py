"""Keeps an answer out of LiteLLM's response cache, though the call did not ask for that."""

from __future__ import annotations

import contextlib
from typing import Any

import litellm

NO_STORE = "no-store"
"""LiteLLM's own word, for callers, in `cache`."""

_HANDLERS = ("llm_caching_handler", "_llm_caching_handler")
_DECIDES = ("should_store_result_in_cache", "_should_store_result_in_cache")
"""LiteLLM's names, in its newer releases and in the older ones."""


def keep_out_of_cache(logging_obj: Any) -> None:
    """Do not store the answer of the call that has this record.

    Args:
        logging_obj: LiteLLM's record of the call; what a release lacks of it is passed over.
    """
    handler = next((found for name in _HANDLERS if (found := getattr(logging_obj, name, None)) is not None), None)
    if litellm.cache is None or handler is None:
        return
    kwargs = getattr(handler, "request_kwargs", None)
    if isinstance(kwargs, dict):
        # What a stream is stored with.
        controls = kwargs.get("cache")
        kwargs["cache"] = {**(controls if isinstance(controls, dict) else {}), NO_STORE: True}
    for name in _DECIDES:
        with contextlib.suppress(AttributeError):  # a class with slots has no room for it
            setattr(handler, name, _never)


def _never(*_: Any, **__: Any) -> bool:
    return False
