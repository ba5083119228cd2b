"""Models on Ollama: what they cost, and a row in LiteLLM's table, without which LiteLLM would stop the event loop to ask.

For a model of Ollama's that its table lacks LiteLLM asks the server (`/api/show`) on the loop's thread, for the price and again
for its log, and a server that is loading a model takes seconds to answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import Any

import httpx
import litellm

PROVIDERS = frozenset({"ollama", "ollama_chat"})
FREE: Mapping[str, Any] = {"mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
_FLAG_OF = {"tools": "supports_function_calling", "vision": "supports_vision", "thinking": "supports_reasoning"}
_TIMEOUT_S = 30.0
_MOST_ASKED = 10_000


class OllamaModels:
    """Puts Ollama's models into the table when they are first used: free at once, the rest as soon as the server tells."""

    def __init__(self) -> None:
        self._asked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def note(self, provider: str | None, model: str, params: Mapping[str, Any] | None = None) -> None:
        """See to it that the table has this model; of other providers nothing is noted.

        Args:
            provider: LiteLLM's name of it.
            model: The provider's own name of the model.
            params: A call's own, with its server and key; None where the server is not known, and nobody is asked.
        """
        if provider not in PROVIDERS:
            return
        name = f"{provider}/{model}"
        if name not in litellm.model_cost:
            # Not by `register_model`, which asks the server too.
            litellm.model_cost[name] = {"litellm_provider": provider, **FREE}
        base = None if params is None else _base(params)
        if base is None or (base, name) in self._asked or "max_input_tokens" in litellm.model_cost[name]:
            return
        with self._lock:
            if (base, name) in self._asked or len(self._asked) >= _MOST_ASKED:
                return
            self._asked.add((base, name))
        asking = (name, model, base, params.get("api_key") if params is not None else None)
        threading.Thread(target=_describe, args=asking, name="composite_llm ollama", daemon=True).start()


def _base(params: Mapping[str, Any]) -> str | None:
    base = params.get("api_base") or os.environ.get("OLLAMA_API_BASE") or "http://localhost:11434"
    if not isinstance(base, str):
        return None
    base = base.rstrip("/")
    # LiteLLM takes the address of an endpoint too.
    return base.removesuffix("/api/chat").removesuffix("/api/generate")


def _describe(name: str, model: str, base: str, key: object) -> None:
    """Complete a model's row by what its server tells; one that does not answer leaves it as it is."""
    headers = {"Authorization": f"Bearer {key}"} if isinstance(key, str) else {}
    with contextlib.suppress(httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        answer = httpx.post(f"{base}/api/show", json={"model": model}, headers=headers, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        described = answer.json()
        # A key that is there already: LiteLLM goes through the table's keys on other threads.
        litellm.model_cost[name] = {**litellm.model_cost[name], **_window(described), **_flags(described)}


def _window(described: Mapping[str, Any]) -> dict[str, Any]:
    told = (value for key, value in described["model_info"].items() if key.endswith(".context_length"))
    window = next((value for value in told if isinstance(value, int) and value > 0), None)
    return {} if window is None else {"max_input_tokens": window, "max_tokens": window}


def _flags(described: Mapping[str, Any]) -> dict[str, bool]:
    capabilities = described.get("capabilities")
    if not isinstance(capabilities, list):
        # An older Ollama tells of tools by its template alone.
        return {"supports_function_calling": "tools" in str(described.get("template", "")).lower()}
    return {flag: capability in capabilities for capability, flag in _FLAG_OF.items()}
