"""Keys that are not set and providers that LiteLLM does not know: seen before anybody is asked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.model.near_misses import edit_distance, nearest

# LiteLLM's `validate_environment` lacks some of these providers and some of their variables, and looks at the environment alone.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"),
    "moonshot": ("MOONSHOT_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "novita": ("NOVITA_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "openai": ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "sambanova": ("SAMBANOVA_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"),
    "xai": ("XAI_API_KEY",),
}
"""Providers whose only credential is a key: the first variable is the one to set."""

_OTHER_WAYS = frozenset(
    {
        "client",
        "default_headers",
        "extra_headers",
        "headers",
        "litellm_credential_name",
        "mock_response",
        "prompt_id",
        "use_litellm_proxy",
    }
)
"""Parameters by which a call is authorized, answered or led elsewhere."""


def missing_key(model: str, provider: str | None, params: Mapping[str, Any]) -> str | None:
    """The environment variable to set, where a call has no key and its provider is sure to want one; None in doubt.

    Args:
        model: A LiteLLM model string.
        provider: LiteLLM's provider name.
        params: The call's LiteLLM parameters.
    """
    variables = _VARIABLES.get(provider or "")
    if variables is None or params.get("api_key") or any(os.environ.get(name) for name in variables):
        return None
    if not _OTHER_WAYS.isdisjoint(params) or _decided_elsewhere() or _in_litellm(provider or ""):
        return None
    base = params.get("api_base") or params.get("base_url")
    # At an address of the user's own a gateway may have the key; but OpenAI's SDK sends nothing without one.
    if provider != "openai" and (base or litellm.api_base or _has_own_address(variables)):
        return None
    return None if _found_by_litellm(model, provider, base) else variables[0]


def _in_litellm(provider: str) -> bool:
    """Whether the application has set a key for the whole of LiteLLM."""
    stems = {provider, provider.replace("_", ""), provider.removesuffix("_chat")}
    names = ["api_key", "headers", *(f"{stem}{suffix}" for stem in stems for suffix in ("_key", "_api_key"))]
    return any(getattr(litellm, name, None) for name in names)


def _has_own_address(variables: Iterable[str]) -> bool:
    stems = {name.partition("_API_KEY")[0] for name in variables}
    return any(os.environ.get(f"{stem}{suffix}") for stem in stems for suffix in ("_API_BASE", "_BASE_URL"))


def _decided_elsewhere() -> bool:
    """Whether a secret manager, or a hook of the application's, may have what is missing here."""
    if litellm.secret_manager_client is not None:
        return True
    plain = CustomLogger.async_pre_call_deployment_hook
    return any(
        isinstance(callback, CustomLogger)
        and type(callback).async_pre_call_deployment_hook is not plain
        # LiteLLM's own hooks, and ours, set no keys and choose no providers.
        and not type(callback).__module__.startswith(("composite_llm.", "litellm."))
        for callback in litellm.callbacks
    )


def _found_by_litellm(model: str, provider: str | None, base: object) -> bool:
    """Whether LiteLLM's own search has a key after all, or leads to another provider."""
    try:
        _, found, key, _ = litellm.get_llm_provider(model, api_base=base if isinstance(base, str) else None)
    except Exception:  # noqa: BLE001  # it will say so itself
        return True
    return bool(key) or found != provider


def has_provider(model: str, params: Mapping[str, Any]) -> bool:
    """Whether LiteLLM knows whom to ask for a model; asked anew, since applications register providers at any time."""
    named, base = params.get("custom_llm_provider"), params.get("api_base") or params.get("base_url")
    if named or not _OTHER_WAYS.isdisjoint(params) or _decided_elsewhere():
        return True
    if any(entry.get("provider") == model.partition("/")[0] for entry in litellm.custom_provider_map or ()):
        # LiteLLM itself learns of them at its next call.
        return True
    said, litellm.suppress_debug_info = litellm.suppress_debug_info, True
    try:
        litellm.get_llm_provider(model, api_base=base if isinstance(base, str) else None)
    except Exception:  # noqa: BLE001  # what LiteLLM says of a model that it cannot place
        return False
    finally:
        litellm.suppress_debug_info = said
    return True


def near_models(model: str, names: Iterable[str] = ()) -> list[str]:
    """Model strings that may have been meant.

    Args:
        model: One without a provider that LiteLLM knows.
        names: Further ones that can be asked: a Router's.
    """
    prefix, slash, rest = model.partition("/")
    alike = _alike(model, names)
    if slash:
        providers = {str(getattr(provider, "value", provider)) for provider in litellm.provider_list} - {"composite"}
        return [*alike, *(f"{provider}/{rest}" for provider in nearest(prefix, providers))][:3]
    # Names without a provider are looked up as they are.
    return [*alike, *_alike(model, [name for name in litellm.model_cost if "/" not in name])][:3]


def _alike(model: str, names: Iterable[str]) -> list[str]:
    close = [name for name in names if abs(len(name) - len(model)) <= _MOST_EDITS and name[:1] == model[:1]]
    return [name for name in nearest(model, close) if edit_distance(model, name) <= _MOST_EDITS]


_MOST_EDITS = 3
