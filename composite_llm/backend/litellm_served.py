"""Asks OpenAI-compatible endpoints which models they serve, before money is spent on one they do not."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import httpx
import litellm

from composite_llm.backend import compat
from composite_llm.backend.litellm_facts import default_base
from composite_llm.config.node import Node, resolved_params

MAX_AGE_S = 600.0
MAX_ENTRIES = 1000
_TIMEOUT_S = 10.0
_SHOWN = 10


class ServedModels:
    """Lists of models by endpoint, remembered for ten minutes.

    Args:
        clock: Seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By endpoint and key: a proxy lists what the key may use.
        self._lists: OrderedDict[tuple[str, str | None], tuple[float, frozenset[str]]] = OrderedDict()

    def problems(self, nodes: Iterable[Node]) -> list[str]:
        """One sentence for each node whose endpoint does not serve its model, or cannot be asked.

        Nodes of providers that are not OpenAI-compatible are taken on trust.
        """
        problems = (self._problem(node) for node in nodes if not node.is_composite)
        return list(dict.fromkeys(problem for problem in problems if problem is not None))

    def _problem(self, node: Node) -> str | None:
        target = _target(node)
        if target is None:
            return None
        model, base, key = target
        parts = httpx.URL(base)
        where = f"{parts.host}:{parts.port}" if parts.port else parts.host
        try:
            served = self._served(base, key)
        except httpx.HTTPStatusError as error:
            return (
                f"{where} does not tell which models it serves: HTTP {error.response.status_code} (node {node.label!r})"
            )
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return f"{where} does not tell which models it serves: {type(error).__name__} (node {node.label!r})"
        if model in served:
            return None
        names = sorted(served)
        listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        return f"model {model!r} is not served at {where}; it serves {listed or 'none'}"

    def _served(self, base: str, key: str | None) -> frozenset[str]:
        entry = self._lists.get((base, key))
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.get(f"{base.rstrip('/')}/models", headers=headers, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        served = frozenset(str(entry["id"]) for entry in answer.json()["data"])
        self._lists.pop((base, key), None)
        self._lists[base, key] = (self._clock() + MAX_AGE_S, served)
        while len(self._lists) > MAX_ENTRIES:
            self._lists.popitem(last=False)
        return served


def _target(node: Node) -> tuple[str, str, str | None] | None:
    """Model, base address and key of a node on an OpenAI-compatible endpoint; None for any other."""
    params = resolved_params(node.params)
    try:
        model, provider, key, base = litellm.get_llm_provider(
            node.model, api_base=params.get("api_base"), api_key=params.get("api_key")
        )
    except Exception:  # noqa: BLE001  # a name of the router, or one that LiteLLM does not know
        return None
    key, base = params.get("api_key") or key, params.get("api_base") or base
    if provider == "openai":
        key = key or os.environ.get("OPENAI_API_KEY")
        # Nothing names an address; without a key it would only refuse.
        base = base or (default_base(provider) if key else None)
    compatible = provider == "openai" or provider in (compat.OPENAI_COMPATIBLE.get() or ())
    return (model, base, key) if compatible and isinstance(base, str) else None
