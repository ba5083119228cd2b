"""What LiteLLM's proxy asks us about each of its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.backend.litellm_error_classes import PROVIDER, to_litellm_error
from composite_llm.backend.litellm_router import deployed, proxy_router
from composite_llm.backend.reentry import in_a_run
from composite_llm.config.profiles import Profiles
from composite_llm.model.errors import CompositeError
from composite_llm.model.model_strings import is_composite_model
from composite_llm.proxy.client import client_of, no_deployment, no_request
from composite_llm.proxy.deployment import OwnDeployment, own_deployment
from composite_llm.proxy.health import recognise_health_checks
from composite_llm.proxy.identity import with_identity
from composite_llm.proxy.litellm_names import ENVELOPE
from composite_llm.proxy.policy import check_closed
from composite_llm.proxy.request import ProxyRequest, begin_request, current_request
from composite_llm.proxy.shape import check_chat, check_shape
from composite_llm.proxy.share import clients_share, restored


class ProxyHooks(CustomLogger):
    """Follows a request of the proxy from before its first call to after its failure.

    Args:
        profiles: The profiles as they are at each call.
    """

    def __init__(self, profiles: Callable[[], Profiles]) -> None:
        super().__init__()
        self._profiles = profiles

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> None:
        """LiteLLM's proxy asks it once for each authenticated request, before any call.

        Raises:
            InvalidOption: The request asks a composite for what no request can have.
        """
        sent = dict(data or {})
        begin_request(ProxyRequest(user_api_key_dict, sent, _body_of(sent), str(call_type)))
        model = sent.get("model")
        if _leads_to_a_composite(model):
            try:
                check_chat(call_type)
                # A list of models may have a list of conversations, each of which is looked at in its own call.
                several = isinstance(model, str) and "," in model
                check_shape({**sent, "messages": None} if several else sent, call_type)
            except CompositeError as error:
                raise to_litellm_error(error, str(model), cools=False) from None

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """LiteLLM asks it for every call, after a deployment is chosen and before a provider is.

        Returns:
            The keywords to go on with: the operator's own in the place of what a client may not set.

        Raises:
            OptionNotAllowed: A client's words would lead the call of a composite elsewhere.
        """
        model, request = kwargs.get("model"), current_request()
        if proxy_router() is None or in_a_run() or not _is_composite(kwargs):
            return None
        try:
            if request is None:
                raise no_request()
            if request.health_of is not None:
                return None
            check_chat(call_type)
            own = _own_deployment(kwargs)
            call = _operators_call(kwargs, call_type, request, own)
            await client_of(str(model), _asked(call), own, request).check_early(self._profiles())
            return call if litellm.cache is None else {**call, "cache": request.cache_controls(call.get("cache"))}
        except CompositeError as error:
            raise to_litellm_error(error, str(model), cools=False) from None

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


def _body_of(sent: dict[str, Any]) -> dict[str, Any]:
    # A copy: LiteLLM soon writes into its own what it has made of the request, such as a query's model.
    request = sent.get("proxy_server_request")
    body = request.get("body") if isinstance(request, dict) else None
    return dict(body) if isinstance(body, dict) else {}


def _own_deployment(kwargs: dict[str, Any]) -> OwnDeployment:
    info = kwargs.get("model_info")
    own = own_deployment(str(kwargs["model"]), info.get("id") if isinstance(info, dict) else None)
    if own is None:
        raise no_deployment(kwargs)
    return own


def _operators_call(
    kwargs: dict[str, Any], call_type: Any, request: ProxyRequest, own: OwnDeployment
) -> dict[str, Any]:
    check_shape(kwargs, call_type)
    # LiteLLM names a composite's provider itself on some endpoints; any other one would be sent `composite/…` as a
    # model's name, with the operator's key. Headers come from the proxy's own forwarding too, and are left out.
    check_closed((given.key, given.value) for given in clients_share(_asked(kwargs), own, request.names))
    return with_identity(restored(kwargs, own, ENVELOPE | {"custom_llm_provider"}), request)


def _asked(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options and parameters of a call, without what LiteLLM put around it."""
    return {
        key: value
        for key, value in kwargs.items()
        if key not in ENVELOPE and key != "headers" and not (key == "custom_llm_provider" and value == PROVIDER)
    }


def _is_composite(kwargs: dict[str, Any]) -> bool:
    model = kwargs.get("model")
    return isinstance(model, str) and (is_composite_model(model) or kwargs.get("custom_llm_provider") == PROVIDER)


def _leads_to_a_composite(asked: Any) -> bool:
    """Whether a composite is behind one of the names that a request asks for, as far as can be told."""
    router = proxy_router()
    names = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, list) else ()
    for name in names:
        if isinstance(name, str) and (name := name.strip()):
            deployments = deployed(router, name) if router is not None else ()
            if is_composite_model(name) or any(is_composite_model(deployment.model) for deployment in deployments):
                return True
    return False


def install_hooks(profiles: Callable[[], Profiles]) -> None:
    """Put them before LiteLLM's other callbacks, the one that charges among them; once.

    Args:
        profiles: The profiles as they are at each call.
    """
    if not any(isinstance(callback, ProxyHooks) for callback in litellm.callbacks):
        litellm.callbacks.insert(0, ProxyHooks(profiles))
    recognise_health_checks()
