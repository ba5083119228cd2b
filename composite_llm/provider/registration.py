"""Puts the provider into LiteLLM."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import litellm
from litellm.utils import custom_llm_setup

from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.backend.litellm_store import LiteLLMStore
from composite_llm.config.profiles import load_profiles
from composite_llm.engine.tools import executor_of
from composite_llm.provider.capabilities import install_capabilities
from composite_llm.provider.failures import PROVIDER
from composite_llm.provider.handler import CompositeLLM
from composite_llm.provider.parameters import accept_reasoning_parameters
from composite_llm.run import Services

_facts = LiteLLMFacts()
_backend = LiteLLMBackend(_facts)
_store = LiteLLMStore()
_services: Services | None = None
_lock = threading.Lock()


def services() -> Services:
    """What all runs of this process share; the default configuration is read on first use."""
    global _services  # one per process, as LiteLLM's own registry
    with _lock:
        if _services is None:
            _services = Services(_backend, _facts, load_profiles(), store=_store)
        return _services


handler = CompositeLLM(services)


def register(
    *,
    router: litellm.Router | None = None,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    tool_executors: Mapping[str, Any] | None = None,
) -> None:
    """Put the provider `composite` into LiteLLM. May be called again; other custom providers stay.

    Args:
        router: A `litellm.Router` whose model names the nodes may use.
        config: Path of a YAML file, or a mapping, with profiles. Default: the file named by `COMPOSITE_LLM_CONFIG`, else
            `composite.yaml` in the working directory if there, else none.
        tool_executors: Executors by the name that `tool_executor` may give, for callers who cannot pass a function.

    Raises:
        InvalidConfig: The profiles cannot be used; says file, line and key.
        InvalidOption: A tool executor is not callable.
    """
    global _services  # as above
    executors = dict(tool_executors or {})
    for name in executors:
        executor_of(name, executors)
    profiles = load_profiles(config)
    with _lock:
        if router is not None:
            _backend.router = router
        known = _services.tool_executors if _services is not None else {}
        _services = Services(_backend, _facts, profiles, {**known, **executors}, _store)
    install()


def install() -> None:
    """The entries in LiteLLM that make the provider work; harmless when they are there already."""
    others = [entry for entry in litellm.custom_provider_map if entry["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    custom_llm_setup()  # type: ignore[no-untyped-call]
    accept_reasoning_parameters()
    install_capabilities(services().profiles)
    # LiteLLM prints advertising for its issue tracker to standard output when a call fails, which breaks every program
    # that speaks JSON there; a composite makes failing calls an everyday event.
    litellm.suppress_debug_info = True
