"""Lets LiteLLM hand over `reasoning_effort`, `thinking` and `verbosity`, which it refuses for every custom provider."""

from __future__ import annotations

from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.config.registry import STRATEGIES

PARAMETERS = ("reasoning_effort", "thinking", "verbosity")


def _is_ours(model: str) -> bool:
    kind, slash, _ = model.partition("/")
    return bool(slash) and (kind == "profile" or kind in STRATEGIES)


def accept_reasoning_parameters() -> None:
    """Make the parameter list of custom providers name them too, for composite models only.

    LiteLLM asks one configuration class for all custom providers what they take, and a provider cannot bring its own.
    So its public name `litellm.OpenAILikeChatConfig` is replaced by a subclass that adds the three for our model strings.
    Where a LiteLLM has no such class, `allowed_openai_params=["reasoning_effort"]` with the call does the same.
    """
    base: Any = compat.PARAMETERS.get()
    if not isinstance(base, type) or getattr(base, "accepts_composite_parameters", False):
        return

    class CompositeAwareConfig(base):  # type: ignore[misc]
        accepts_composite_parameters = True

        def get_supported_openai_params(self, model: str) -> list[str]:
            supported: list[str] = super().get_supported_openai_params(model)
            return [*supported, *PARAMETERS] if _is_ours(model) else supported

        def map_openai_params(
            self,
            non_default_params: dict[str, Any],
            optional_params: dict[str, Any],
            model: str,
            *args: Any,
            **kwargs: Any,
        ) -> dict[str, Any]:
            # The base class takes them for supported and still leaves them out.
            mapped: dict[str, Any] = super().map_openai_params(
                non_default_params, optional_params, model, *args, **kwargs
            )
            if _is_ours(model):
                mapped.update({name: non_default_params[name] for name in PARAMETERS if name in non_default_params})
            return mapped

    litellm.OpenAILikeChatConfig = CompositeAwareConfig  # type: ignore[misc]
