"""What LiteLLM's tables say about models, remembered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import litellm
from litellm.utils import get_optional_params

from composite_llm.backend.interface import Message, Params

_SUPPORTS = {"image": "supports_vision", "audio": "supports_audio_input", "file": "supports_pdf_input"}


class LiteLLMFacts:
    """`ModelFacts` from LiteLLM's model table."""

    def provider(self, model: str, params: Params) -> str | None:
        """LiteLLM's provider name."""
        named = params.get("custom_llm_provider")
        if isinstance(named, str):
            return named
        base = params.get("api_base")
        return _provider_and_base(model, base if isinstance(base, str) else None)[0]

    def endpoint(self, model: str, api_base: str | None) -> str | None:
        """Host and port that LiteLLM will ask, where known without asking."""
        provider, base = _provider_and_base(model, None)
        return _host_and_port(api_base or base or default_base(provider))

    def context_window(self, model: str) -> int | None:
        """Tokens a prompt may have."""
        value = _entry(model).get("max_input_tokens") or _entry(model).get("max_tokens")
        return value if isinstance(value, int) else None

    def max_output_tokens(self, model: str) -> int | None:
        """The longest answer."""
        value = _entry(model).get("max_output_tokens")
        return value if isinstance(value, int) else None

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """Tokens by LiteLLM's counter."""
        try:
            return int(litellm.token_counter(model=model, messages=list(messages)))
        except Exception:  # noqa: BLE001  # counting is a courtesy; an odd message must not end a run
            return sum(len(str(message.get("content") or "")) for message in messages) // 4 + 1

    def takes(self, model: str, modality: str) -> bool | None:
        """Whether the model takes such content parts; None where LiteLLM's table does not know the model."""
        flag = _SUPPORTS.get(modality)
        entry = _entry(model)
        if flag is None or not entry:
            return None
        return bool(entry.get(flag))

    def price(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """US dollars by LiteLLM's table; None where the model has no price in it."""
        if not self.is_priced(model):
            return None
        try:
            parts = litellm.cost_per_token(
                model=model, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens
            )
        except Exception:  # noqa: BLE001  # LiteLLM raises a bare Exception for what it cannot price
            return None
        return float(parts[0] + parts[1])

    def price_of(self, model: str, usage: Any) -> float | None:
        """US dollars of LiteLLM's usage object, cached tokens at their own price.

        For the streams of LiteLLM 1.94, which have none on them.
        """
        if usage is None or not self.is_priced(model):
            return None
        counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        try:
            parts = litellm.cost_per_token(model=model, usage_object=usage, **counts)
        except Exception:  # noqa: BLE001  # as above
            return None
        return float(parts[0] + parts[1])

    def is_priced(self, model: str) -> bool:
        """Whether LiteLLM's table has a price for the model; a price of zero is one."""
        entry = _entry(model)
        return any(
            key.startswith(("input_cost_per", "output_cost_per")) and value is not None for key, value in entry.items()
        )

    def takes_parameter(self, model: str, name: str, value: Any) -> bool:
        """Whether LiteLLM would pass this sampling parameter on for this model, rather than refuse it."""
        if isinstance(value, dict | list):
            return _takes_name(model, name)
        return _takes_value(model, name, value)


def _entry(model: str) -> dict[str, Any]:
    """The model's row in LiteLLM's table; empty if it has none. Not remembered: applications register models at any time."""
    table = litellm.model_cost
    if model in table:
        return dict(table[model])
    bare, _, _ = _split(model)
    return dict(table.get(bare, {}))


@lru_cache(maxsize=2048)
def _split(model: str) -> tuple[str, str | None, str | None]:
    try:
        bare, provider, _, base = litellm.get_llm_provider(model)
    except Exception:  # noqa: BLE001  # a name of the router, or of nobody
        return model, None, None
    return bare, provider, base


@lru_cache(maxsize=2048)
def _provider_and_base(model: str, api_base: str | None) -> tuple[str | None, str | None]:
    try:
        _, provider, _, base = litellm.get_llm_provider(model, api_base=api_base)
    except Exception:  # noqa: BLE001  # as above
        return None, None
    return provider, base


def default_base(provider: str | None) -> str | None:
    """Where LiteLLM goes for the two providers that `get_llm_provider` gives no address for."""
    variables, default = _DEFAULT_BASES.get(provider or "", ((), None))
    return next((os.environ[name] for name in variables if os.environ.get(name)), default)


_DEFAULT_BASES: dict[str, tuple[tuple[str, ...], str]] = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), "https://api.openai.com/v1"),
    "anthropic": (("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"), "https://api.anthropic.com"),
}


@lru_cache(maxsize=2048)
def _host_and_port(url: str | None) -> str | None:
    if not url:
        return None
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _takes_name(model: str, name: str) -> bool:
    try:
        supported = litellm.get_supported_openai_params(model=_split(model)[0], custom_llm_provider=_split(model)[1])
    except Exception:  # noqa: BLE001  # unknown to LiteLLM: let the provider decide
        return True
    return supported is None or name in supported


@lru_cache(maxsize=4096)
def _takes_value(model: str, name: str, value: Any) -> bool:
    bare, provider, _ = _split(model)
    if provider is None:
        return True
    try:
        get_optional_params(model=bare, custom_llm_provider=provider, drop_params=False, **{name: value})
    except litellm.exceptions.BadRequestError:
        return False
    except Exception:  # noqa: BLE001  # not a verdict on the parameter
        return True
    return True
