"""Windows of Hugging Face's models, which LiteLLM fetches several times a call, some of them on the event loop's thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

from composite_llm.backend import compat

_MOST_KEPT = 10_000


def install_huggingface_windows() -> None:
    """Have each window fetched once, and never on an event loop. Harmless again."""
    fetch = compat.HUGGING_FACE_WINDOW.get()
    if fetch is not None and not isinstance(fetch, _Windows):
        compat.HUGGING_FACE_WINDOW.put(_Windows(fetch))


class _Windows:
    """LiteLLM's function with a memory.

    Args:
        fetch: LiteLLM's own; None is its answer where the hub tells nothing.
    """

    def __init__(self, fetch: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fetch)
        self._fetch = fetch
        self._told: dict[str, Any] = {}

    def __call__(self, model_name: str) -> Any:
        if model_name in self._told:
            return self._told[model_name]
        if not _on_a_loop():
            return self._remembered(model_name)
        if len(self._told) < _MOST_KEPT:
            self._told[model_name] = None
            threading.Thread(
                target=self._learn, args=(model_name,), name="composite_llm huggingface", daemon=True
            ).start()
        return None

    def _learn(self, model_name: str) -> None:
        known = self._remembered(model_name) is not None
        # LiteLLM keeps what it knew of a model until then.
        forget = compat.FORGET_MODEL_INFO.get()
        if known and forget is not None:
            forget()

    def _remembered(self, model_name: str) -> Any:
        window = self._fetch(model_name)
        if len(self._told) < _MOST_KEPT or model_name in self._told:
            self._told[model_name] = window
        return window


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
