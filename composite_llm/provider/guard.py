"""Keeps a request for a composite with this provider: on the proxy, a client's body can name another one."""

from __future__ import annotations

from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.config.node import COMPOSITE_PREFIX
from composite_llm.errors import OptionNotAllowed
from composite_llm.provider.failures import PROVIDER, raised


class ProviderGuard(CustomLogger):
    """LiteLLM asks it after a deployment is chosen and before the provider is."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """Refuse another provider for a composite.

        Raises:
            OptionNotAllowed: The request names one.
        """
        model, provider = kwargs.get("model"), kwargs.get("custom_llm_provider")
        if isinstance(model, str) and model.startswith(COMPOSITE_PREFIX) and provider not in (None, PROVIDER):
            # LiteLLM would send `composite/…` as a model's name to that provider, with the operator's key.
            error = OptionNotAllowed("custom_llm_provider: a composite's provider cannot be another one")
            raise raised(error, model)
        return None


def install_guard() -> None:
    """Put it among LiteLLM's callbacks, once."""
    if not any(isinstance(callback, ProviderGuard) for callback in litellm.callbacks):
        litellm.callbacks.append(ProviderGuard())
