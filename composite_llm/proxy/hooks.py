"""What LiteLLM's proxy asks us about each of its requests."""

from __future__ import annotations

from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.backend.litellm_raised import PROVIDER, raised
from composite_llm.config.node import COMPOSITE_PREFIX
from composite_llm.errors import InvalidOption, OptionNotAllowed
from composite_llm.proxy.request import ProxyRequest, begin_request, current_request

_CHATS = frozenset({"completion", "text_completion", "responses", "anthropic_messages"})
"""LiteLLM's names of what it makes a chat of."""


class ProxyHooks(CustomLogger):
    """Follows a request of the proxy from before its first call to after its failure."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> None:
        """LiteLLM's proxy asks it before each request."""
        begin_request(ProxyRequest(key=user_api_key_dict, sent=dict(data or {}), call_type=str(call_type)))

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """LiteLLM asks it after a deployment is chosen and before the provider is.

        Raises:
            OptionNotAllowed: A client's request leads a composite to another provider.
            InvalidOption: It asks a composite for something else than a chat.
        """
        model, provider = kwargs.get("model"), kwargs.get("custom_llm_provider")
        if not isinstance(model, str) or not model.startswith(COMPOSITE_PREFIX):
            return None
        if provider not in (None, PROVIDER):
            # LiteLLM would send `composite/…` as a model's name to that provider, with the operator's key.
            error = OptionNotAllowed("custom_llm_provider: a composite's provider cannot be another one")
            raise raised(error, model)
        call = str(getattr(call_type, "value", call_type) or "")
        if call and not {call, call.removeprefix("a")} & _CHATS:
            # LiteLLM has no such call for a custom provider, and says so with a 500 and a traceback.
            raise raised(InvalidOption("model", f"a composite has no {call}", allowed="chats"), model, cools=False)
        return None

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """LiteLLM's proxy asks it before it charges a failed request; of `/v1/completions` it brings no record."""
        request = current_request()
        if request is not None and request.spent is not None and not request_data.get("response_cost"):
            request_data["combined_usage_object"], request_data["response_cost"] = request.spent


def install_hooks() -> None:
    """Put them before LiteLLM's other callbacks, the one that charges among them; once."""
    if not any(isinstance(callback, ProxyHooks) for callback in litellm.callbacks):
        litellm.callbacks.insert(0, ProxyHooks())
