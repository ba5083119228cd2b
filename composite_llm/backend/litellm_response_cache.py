"""Keeps an answer out of LiteLLM's response cache, though the call did not ask for that."""

from __future__ import annotations

import contextlib
from typing import Any

import litellm

from composite_llm.backend import compat

NO_STORE = "no-store"
"""LiteLLM's own word, for callers, in `cache`."""


def keep_out_of_cache(logging_obj: Any) -> None:
    """Do not store the answer of the call that has this record.

    Args:
        logging_obj: LiteLLM's record of the call; what a release lacks of it is passed over.
    """
    handler = compat.CACHING_HANDLER.of(logging_obj)
    if litellm.cache is None or handler is None:
        return
    kwargs = compat.REQUEST_KWARGS.of(handler)
    if isinstance(kwargs, dict):
        # What a stream is stored with.
        controls = kwargs.get("cache")
        kwargs["cache"] = {**(controls if isinstance(controls, dict) else {}), NO_STORE: True}
    for name in compat.STORES_RESULT.names:
        with contextlib.suppress(AttributeError):  # a class with slots has no room for it
            setattr(handler, name, _never)


def _never(*_: Any, **__: Any) -> bool:
    return False
