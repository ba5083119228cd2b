"""What LiteLLM's tables say about models, and a Router's operator about those behind its names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import litellm

from composite_llm.backend import compat
from composite_llm.backend.interface import NO_PARAMS, Message, Params
from composite_llm.backend.litellm_keys import has_provider, missing_key, near_models
from composite_llm.backend.litellm_ollama import PROVIDERS as OLLAMA
from composite_llm.backend.litellm_ollama import OllamaModels
from composite_llm.backend.litellm_prices import names_prices, rates_of
from composite_llm.backend.litellm_router import Deployed, RouterInUse, deployed, deployed_as, with_fallbacks
from composite_llm.backend.litellm_table import has_price, listed_price, row_of, split
from composite_llm.backend.litellm_tokens import TokenCounts
from composite_llm.backend.litellm_usage import usage_of
from composite_llm.model.messages import text_of
from composite_llm.model.usage import Usage

_SUPPORTS = {"image": "supports_vision", "audio": "supports_audio_input", "file": "supports_pdf_input"}


class LiteLLMFacts:
    """`ModelFacts` from LiteLLM's model table.

    A Router's name is as bad as the worst of its deployments: it may be any of them that answers.

    Args:
        router: Whose names are known.
    """

    def __init__(self, router: RouterInUse | None = None) -> None:
        self._router = router or RouterInUse()
        self._tokens = TokenCounts()
        self._ollama = OllamaModels()

    def provider(self, model: str, params: Params) -> str | None:
        """LiteLLM's provider name."""
        named = params.get("custom_llm_provider")
        if isinstance(named, str):
            return named
        base = params.get("api_base")
        return _provider_and_base(model, base if isinstance(base, str) else None)[0]

    def answering_provider(self, model: str, params: Params) -> str | None:
        """LiteLLM's provider name, of a Router's name that of its deployments; None where they differ."""
        behind = self._deployed(model)
        if not behind:
            return self.provider(model, params)
        providers = {split(deployment.model)[1] for deployment in behind}
        return providers.pop() if len(providers) == 1 else None

    def missing_key(self, model: str, params: Params) -> str | None:
        """The environment variable to set, where a call is sure to fail for want of a key; a Router looks after its own."""
        if self._router.answering(model) is not None:
            return None
        return missing_key(model, self.provider(model, params), params)

    def near_unknown(self, model: str, params: Params) -> Sequence[str] | None:
        """Names near one that neither the Router nor LiteLLM knows whom to ask for."""
        if self.provider(model, params) is not None or self._router.answering(model) is not None:
            return None
        if has_provider(model, params):
            return None
        return near_models(model, self._router.names())

    def note_local(self, model: str, params: Params) -> None:
        """See to it that LiteLLM need not ask a local server about its model in the midst of a call."""
        behind = self._deployed(model)
        if not behind:
            provider = self.provider(model, params)
            self._ollama.note(provider, model.removeprefix(f"{provider}/"), params)
        for deployment in behind:
            bare, provider, _ = split(deployment.model)
            self._ollama.note(provider, bare)

    def endpoint(self, model: str, api_base: str | None) -> str | None:
        """Host and port that LiteLLM will ask, where known without asking."""
        provider, base = _provider_and_base(model, None)
        return _host_and_port(api_base or base or default_base(provider))

    def context_window(self, model: str) -> int | None:
        """Tokens a prompt may have; of a Router's name the smallest window that is known."""
        windows = [row.get("max_input_tokens") or row.get("max_tokens") for row in self._rows(model)]
        return min(_numbers(windows), default=None)

    def max_output_tokens(self, model: str) -> int | None:
        """The longest answer; of a Router's name the longest that any deployment gives."""
        return max(_numbers(row.get("max_output_tokens") for row in self._rows(model)), default=None)

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """Tokens by LiteLLM's counter."""
        behind = self._deployed(model)
        try:
            return self._tokens.count(behind[0].described_as if behind else model, messages)
        except Exception:  # noqa: BLE001  # counting is a courtesy; an odd message must not end a run
            return sum(len(text_of(message.get("content"))) for message in messages) // 4 + 1

    def takes_schema(self, model: str) -> bool:
        """Whether LiteLLM says so of the model, or its server is one that serves any model with schemas."""
        behind = self._deployed(model)
        return all(_takes_schema(deployment.described_as) for deployment in behind) if behind else _takes_schema(model)

    def counts_exactly(self, model: str) -> bool:
        """Whether LiteLLM's counter knows the tokenizer: OpenAI's own models'."""
        behind = self._deployed(model)
        return all(_is_openais(deployment.described_as) for deployment in behind) if behind else _is_openais(model)

    def takes(self, model: str, modality: str) -> bool | None:
        """Whether the model takes such content parts; None where nobody knows, or a Router's deployments differ.

        A flag of LiteLLM's table, `supports_…`, may stand for a modality.
        """
        flag = modality if modality.startswith("supports_") else _SUPPORTS.get(modality)
        if flag is None:
            return None
        behind = self._deployed(model) or [Deployed(model, model)]
        answers = {
            bool(deployment.said[flag]) if flag in deployment.said else _listed_flag(deployment.described_as, flag)
            for deployment in behind
        }
        return answers.pop() if len(answers) == 1 else None

    def price(self, model: str, prompt_tokens: int, completion_tokens: int, params: Params = NO_PARAMS) -> float | None:
        """US dollars by the call's own prices, by the operator's, or by LiteLLM's table; None where one has no price.

        Of a Router's name that of the dearest deployment, those of its fallbacks included.
        """
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        behind = self._may_be_charged(model)
        if names_prices(params):
            own = rates_of(params, behind[0].described_as if behind else model)
            return own.cost_usd(usage) if own is not None else None
        if not behind:
            return listed_price(model, prompt_tokens, completion_tokens)
        return _dearest(behind, usage)

    def price_of(self, model: str, raw: Any, params: Params = NO_PARAMS, model_id: str | None = None) -> float | None:
        """US dollars of an answer, cached tokens at their own price.

        Args:
            model: Who was asked.
            raw: LiteLLM's usage object.
            params: The call's parameters.
            model_id: The Router's deployment that answered, where known; without it the dearest counts.
        """
        if raw is None:
            return None
        usage = usage_of(raw)
        router = self._router.answering(model)
        deployment = deployed_as(router, model_id) if router is not None and model_id is not None else None
        behind = [deployment] if deployment is not None else self._deployed(model)
        if names_prices(params):
            own = rates_of(params, behind[0].described_as if behind else model)
            return own.cost_usd(usage) if own is not None else None
        if not behind:
            return listed_price(model, usage.prompt_tokens, usage.completion_tokens, raw)
        return _dearest(behind, usage, raw)

    def leads_to_composites(self, model: str) -> bool:
        """Whether whatever a Router has behind this name is a composite, its fallbacks included."""
        behind = self._may_be_charged(model)
        return bool(behind) and all(deployment.is_composite for deployment in behind)

    def is_priced(self, model: str) -> bool:
        """Whether every model that may answer has a price; a price of zero is one."""
        behind = self._may_be_charged(model)
        return all(_is_priced(deployment) for deployment in behind) if behind else has_price(row_of(model))

    def _rows(self, model: str) -> list[dict[str, Any]]:
        """What is known of each model that may answer, in the words of LiteLLM's table."""
        behind = self._deployed(model)
        return (
            [{**row_of(deployment.described_as), **deployment.said} for deployment in behind]
            if behind
            else [row_of(model)]
        )

    def _deployed(self, model: str) -> list[Deployed]:
        router = self._router.answering(model)
        return deployed(router, model) if router is not None else []

    def _may_be_charged(self, model: str) -> list[Deployed]:
        router = self._router.answering(model)
        if router is None:
            return []
        return [deployment for name in with_fallbacks(router, model) for deployment in deployed(router, name)]

    def takes_parameter(self, model: str, name: str, value: Any) -> bool:
        """Whether LiteLLM would pass this sampling parameter on for this model, rather than refuse it."""
        if isinstance(value, dict | list):
            return _takes_name(model, name)
        return _takes_value(model, name, value)


_SERVERS_OF_ANY_MODEL = frozenset(
    {"openai", "custom_openai", "hosted_vllm", "lm_studio", "llamafile", "ollama", "ollama_chat", "docker_model_runner"}
)
"""They force JSON by a grammar, whatever the model; small models need it most, and LiteLLM's table has none of them."""


def _takes_schema(model: str) -> bool:
    # Not remembered: applications register models at any time.
    bare, provider, _ = split(model)
    if provider is None or not _takes_name(model, "response_format"):
        return False
    if row := row_of(model):
        return bool(row.get("supports_response_schema"))
    return provider in _SERVERS_OF_ANY_MODEL or bool(
        litellm.supports_response_schema(model=bare, custom_llm_provider=provider)
    )


@lru_cache(maxsize=2048)
def _is_openais(model: str) -> bool:
    _, provider, _ = split(model)
    return provider in ("openai", "azure") and bool(row_of(model))


def _is_priced(deployment: Deployed) -> bool:
    # A composite's own calls are what is charged.
    return deployment.is_composite or has_price(deployment.said) or has_price(row_of(deployment.described_as))


def _dearest(behind: Sequence[Deployed], usage: Usage, raw: Any = None) -> float | None:
    prices = [_price_of(deployment, usage, raw) for deployment in behind]
    known = [price for price in prices if price is not None]
    return max(known) if len(known) == len(prices) else None


def _price_of(deployment: Deployed, usage: Usage, raw: Any) -> float | None:
    if deployment.is_composite:
        return 0.0
    if not has_price(deployment.said):
        return listed_price(deployment.described_as, usage.prompt_tokens, usage.completion_tokens, raw)
    # None where it is by the second, or by the character.
    rates = rates_of(deployment.said, deployment.described_as) if names_prices(deployment.said) else None
    return rates.cost_usd(usage) if rates is not None else None


def _listed_flag(model: str, flag: str) -> bool | None:
    row = row_of(model)
    if row.get("litellm_provider") in OLLAMA and flag not in row:
        # Its server has not told yet.
        return None
    return bool(row.get(flag)) if row else None


def _numbers(values: Iterable[Any]) -> list[int]:
    return [value for value in values if isinstance(value, int) and not isinstance(value, bool)]


@lru_cache(maxsize=2048)
def _provider_and_base(model: str, api_base: str | None) -> tuple[str | None, str | None]:
    try:
        _, provider, _, base = litellm.get_llm_provider(model, api_base=api_base)
    except Exception:  # noqa: BLE001  # a name of the router, or of nobody
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
        supported = litellm.get_supported_openai_params(model=split(model)[0], custom_llm_provider=split(model)[1])
    except Exception:  # noqa: BLE001  # unknown to LiteLLM: let the provider decide
        return True
    return supported is None or name in supported


@lru_cache(maxsize=4096)
def _takes_value(model: str, name: str, value: Any) -> bool:
    bare, provider, _ = split(model)
    if provider is None:
        return True
    map_parameters = compat.GET_OPTIONAL_PARAMS.get()
    if map_parameters is None:
        return _takes_name(model, name)
    try:
        map_parameters(model=bare, custom_llm_provider=provider, drop_params=False, **{name: value})
    except litellm.exceptions.BadRequestError:
        return False
    except Exception:  # noqa: BLE001  # not a verdict on the parameter
        return True
    return True
