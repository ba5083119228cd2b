"""Every private or undocumented name of LiteLLM, the OpenAI SDK and the standard library that this package rests on.

Each is looked up through the table here and nowhere else. Where a release lacks one, or has it in another form, the public
way is taken in its place; `register()` says once what is missing and what is lost by it. What a release documents is used
by its own name, and is not in the table.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

_log = logging.getLogger("composite_llm")

_ON_DEMAND = ("litellm.proxy.",)
"""Modules that are looked at where they are loaded already: a program that is no proxy would load half of LiteLLM."""


@dataclass(frozen=True, slots=True)
class Called:
    """How a function is called here, without what its own class passes.

    Attributes:
        positional: How many arguments stand without a name.
        keywords: The names of the others.
    """

    positional: int = 0
    keywords: tuple[str, ...] = ()

    def fits(self, function: Any) -> bool:
        """Whether it can be called so; True also where Python cannot tell."""
        if not callable(function):
            return False
        try:
            inspect.signature(function).bind(*[None] * self.positional, **dict.fromkeys(self.keywords))
        except TypeError:
            return False
        except ValueError:
            return True
        return True


@dataclass(frozen=True, slots=True, eq=False)
class PrivateName:
    """One name, perhaps with another one in other releases.

    Attributes:
        owner: The module; with a colon and a class, the name is that of an attribute of its instances.
        names: The name, and the other ones that it has or had; the first that is there counts.
        lost: What is different without it.
        called: How it is called; None for what is no function.
        since: The first release that has it; an older one does not miss it.
        until: The first release that needs it no more.
    """

    owner: str
    names: tuple[str, ...]
    lost: str
    called: Called | None = None
    since: str = ""
    until: str = ""

    @property
    def module(self) -> str:
        """Where it is."""
        return self.owner.partition(":")[0]

    @property
    def distribution(self) -> str:
        """The package whose releases `since` and `until` count."""
        return self.owner.partition(".")[0].partition(":")[0]

    def __str__(self) -> str:
        return f"{self.owner.replace(':', '.')}.{self.names[0]}"

    def get(self) -> Any:
        """The module's attribute, or the class's; None where there is none that can be used as it is here."""
        return next(self._found(), None)

    def _found(self) -> Iterator[Any]:
        owner = _owner(self.owner)
        called = self.called
        if called is not None and ":" in self.owner:
            called = Called(called.positional + 1, called.keywords)
        for name in self.names:
            found = getattr(owner, name, _ABSENT)
            if found is not _ABSENT and (called is None or called.fits(found)):
                yield found

    def required(self) -> Any:
        """The same.

        Raises:
            ImportError: There is none.
        """
        found = next(self._found(), _ABSENT)
        if found is _ABSENT:
            raise ImportError(f"no {self}", name=str(self))
        return found

    def put(self, value: Any) -> None:
        """Set the module's attribute to something that does the same and more."""
        owner = _owner(self.owner)
        setattr(owner, next(name for name in self.names if hasattr(owner, name)), value)

    def of(self, instance: Any) -> Any:
        """An instance's attribute; None where it has none that can be used as it is here."""
        if self.called is None:
            found = getattr(instance, self.names[0], None)
            if found is not None or len(self.names) == 1:
                return found
        name = self.name_in(instance)
        return None if name is None else getattr(instance, name, None)

    def read(self, instance: Any) -> Any:
        """An instance's attribute, whatever it is.

        Raises:
            AttributeError: It has none.
        """
        return getattr(instance, self.names[0])

    def name_in(self, instance: Any) -> str | None:
        """The name under which an instance has it."""
        for name in self.names:
            found = getattr(instance, name, None)
            if found is not None and (self.called is None or self._fits(found)):
                return name
        return None

    def _fits(self, found: Any) -> bool:
        assert self.called is not None
        function = getattr(found, "__func__", None)
        if function is None:
            return self.called.fits(found)
        known = _FITS.get((self, function))
        if known is None:
            known = _FITS[self, function] = self.called.fits(found)
        return known

    def is_missing(self) -> bool:
        """Whether the installed release lacks what it should have."""
        return not (_is_not_loaded(self.module) or self._is_there()) and self.belongs_to_this_release()

    def _is_there(self) -> bool:
        if any(True for _ in self._found()):
            return True
        owner = _owner(self.owner) if ":" in self.owner else None
        # What instances get in a constructor, their class does not have.
        return isinstance(owner, type) and any(
            _declares(owner, name) and not hasattr(owner, name) for name in self.names
        )

    def belongs_to_this_release(self) -> bool:
        """Whether the installed release should have it."""
        if not self.since and not self.until:
            return True
        release = release_of(self.distribution)
        return (not self.since or release >= _numbers(self.since)) and (
            not self.until or release < _numbers(self.until)
        )


_ABSENT = object()
_FITS: dict[tuple[PrivateName, Any], bool] = {}
"""By the function of a class: methods are as many as instances."""


def _owner(path: str) -> Any:
    module_name, _, class_name = path.partition(":")
    if _is_not_loaded(module_name):
        return None
    try:
        module = importlib.import_module(module_name)
    except Exception:  # noqa: BLE001  # another release of another package
        return None
    return getattr(module, class_name, None) if class_name else module


def _is_not_loaded(module: str) -> bool:
    return module.startswith(_ON_DEMAND) and module not in sys.modules


def _declares(owner: type, name: str) -> bool:
    """Whether instances of a class have the attribute, as far as its source says."""
    return any(
        name in vars(base)
        or name in vars(base).get("__annotations__", ())
        or any(name in inspect.unwrap(function).__code__.co_names for function in _functions(base))
        for base in owner.__mro__
    )


def _functions(owner: type) -> list[Any]:
    return [value for value in vars(owner).values() if inspect.isfunction(value)]


@functools.cache
def release_of(distribution: str) -> tuple[int, ...]:
    """The installed release of a package; of the standard library, Python's."""
    if distribution in sys.stdlib_module_names:
        return sys.version_info[:3]
    # Reading a package's metadata takes longer than all else here.
    for module, name in ((f"{distribution}._version", "version"), (distribution, "__version__")):
        found = getattr(_owner(module), name, None)
        if isinstance(found, str):
            return _numbers(found)
    try:
        return _numbers(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


# --- the table -----------------------------------------------------------------------------------------------------

_LOGGING = "litellm.litellm_core_utils.litellm_logging:Logging"
_CACHING = "litellm.caching.caching_handler:LLMCachingHandler"
_WRAPPER = "litellm:CustomStreamWrapper"
_ROUTER = "litellm.router:Router"
_TRANSPORT = "litellm.llms.custom_httpx.aiohttp_transport"
_CLIENT = "openai:AsyncOpenAI"
_PROXY_SERVER = "litellm.proxy.proxy_server"

_SDK = "models in OpenAI's form are asked through the OpenAI SDK, which takes more than twice the work"
_AHEAD = "each token of a stream goes through LiteLLM's wrapper, which takes three times the work"
_RECORDS = "LiteLLM records calls that no callback hears of, which takes a fifth more work"
_ROWS = "of a Router's names only those are known that its `get_model_list` tells"
_BROKEN_OFF = "a stream that ends without a finish reason counts as whole"
_CUT_OFF = "a stream whose client hangs up is booked by LiteLLM alone, without its last call"
_CACHED = "LiteLLM's response cache keeps degraded answers too"
_UNPRICED = "LiteLLM books a composite of unknown cost at 0"
_PARTIAL = "what a run spent before it failed is not in LiteLLM's records"
_KIND = "some failures are told as `unavailable`"
_TOKENS = "what kinds of tokens a composite used is not told"
_PRICES = "LiteLLM's records of a node with prices of its own have LiteLLM's price; its trace has the node's"
_NAMES = "the proxy refuses parameters that it does not know, a provider's own among them"
_NO_USER = "models that a client names are not allowed to any key without a team"


def _one(
    owner: str, *names: str, lost: str, called: Called | None = None, since: str = "", until: str = ""
) -> PrivateName:
    return PrivateName(owner, names, lost, called, since, until)


# LiteLLM, on the way in

CUSTOM_LLM_SETUP = _one(
    "litellm.utils",
    "custom_llm_setup",
    called=Called(),
    lost="LiteLLM's look-ups do not know the provider before its first call",
)
BEFORE_CALL = _one(
    "litellm.utils",
    "async_pre_call_deployment_hook",
    called=Called(2),
    lost="options of a composite are kept from the models of LiteLLM's fallbacks by a callback, which makes LiteLLM record all calls",
)
_HUGGING_FACE = "LiteLLM asks Hugging Face about its models several times a call, some of them on the event loop"
HUGGING_FACE_WINDOW = _one(
    "litellm.utils", "_get_max_position_embeddings", called=Called(0, ("model_name",)), lost=_HUGGING_FACE
)
FORGET_MODEL_INFO = _one(
    "litellm.utils",
    "_invalidate_model_cost_lowercase_map",
    called=Called(),
    lost="a window of a Hugging Face model that was asked for too early stays unknown",
)
FUNCTION_SETUP = _one(
    "litellm.utils",
    "function_setup",
    lost="options of a composite reach the models that LiteLLM's fallbacks ask in its place, in synchronous calls",
)
PARAMETERS = _one(
    "litellm",
    "OpenAILikeChatConfig",
    lost="reasoning_effort, thinking and verbosity need `allowed_openai_params` with the call",
)
COST_PER_TOKEN = _one(
    "litellm.cost_calculator",
    "cost_per_token",
    lost="`litellm.completion_cost` does not know what a composite's response cost; its trace does",
)
MODEL_NOT_MAPPED = _one(
    "litellm.exceptions", "ModelNotMappedError", since="1.106", lost="a model without a price is a bare Exception"
)
GET_RULES = _one(
    "litellm.litellm_core_utils.fallback_generalizations",
    "get_fallback_generalization_rules",
    called=Called(),
    lost="where an application replaces LiteLLM's model table, composites are not in it",
)
SET_RULES = _one(
    "litellm.litellm_core_utils.fallback_generalizations",
    "set_fallback_generalizations",
    called=Called(1),
    lost=GET_RULES.lost,
)
LOG_WORKER = _one(
    "litellm.litellm_core_utils.logging_worker",
    "GLOBAL_LOGGING_WORKER",
    lost="callbacks of sync calls may get lost in an application that has a loop of its own too",
)
LOG_WORKER_CLASS = _one(
    "litellm.litellm_core_utils.logging_worker", "LoggingWorker", called=Called(), lost=LOG_WORKER.lost
)
ENQUEUE = _one(
    "litellm.litellm_core_utils.logging_worker:LoggingWorker",
    "ensure_initialized_and_enqueue",
    lost=LOG_WORKER.lost,
)
COMPLETION_TOKENS = _one(
    "litellm.types.utils",
    "CompletionTokensDetailsWrapper",
    called=Called(0, ("reasoning_tokens", "audio_tokens")),
    lost=_TOKENS,
)
PROMPT_TOKENS = _one(
    "litellm.types.utils",
    "PromptTokensDetailsWrapper",
    called=Called(0, ("cached_tokens", "cache_creation_tokens", "audio_tokens")),
    lost=_TOKENS,
)

# LiteLLM's record of a call, which it hands to a custom provider

CALL_DETAILS = _one(_LOGGING, "model_call_details", lost="a caller's `user` does not reach the nodes")
TRACE_ID = _one(_LOGGING, "litellm_trace_id", lost="a run without a trace id of its caller's gets one of its own")
LOGGER_FN = _one(_LOGGING, "logger_fn", lost=_RECORDS)
SUCCESS_CALLBACKS = _one(_LOGGING, "dynamic_success_callbacks", lost=_RECORDS)
ASYNC_SUCCESS_CALLBACKS = _one(_LOGGING, "dynamic_async_success_callbacks", lost=_RECORDS)
HAS_RUN_LOGGING = _one(_LOGGING, "mark_logging_complete", "has_run_logging", called=Called(1), lost=_RECORDS)
RECORD_PARTIAL = _one(_LOGGING, "record_partial_usage_for_failure", called=Called(2), since="1.106", lost=_PARTIAL)
COST_CALCULATOR = _one(_LOGGING, "response_cost_calculator", "_response_cost_calculator", lost=_UNPRICED)
DISPATCH_SUCCESS = _one(
    _LOGGING,
    "dispatch_success_handlers",
    called=Called(1, ("start_time", "end_time", "cache_hit", "prefer_async_handlers")),
    lost=_CUT_OFF,
)
RAW_REQUEST_ONLY = _one(
    _LOGGING,
    "raw_request_only",
    since="1.106",
    lost="LiteLLM's view of a raw request shows a node's, not that there is none",
)
CACHING_HANDLER = _one(_LOGGING, "llm_caching_handler", "_llm_caching_handler", lost=_CACHED)
STORES_RESULT = _one(_CACHING, "should_store_result_in_cache", "_should_store_result_in_cache", lost=_CACHED)
REQUEST_KWARGS = _one(_CACHING, "request_kwargs", lost=_CACHED)

# LiteLLM, on the way out

GET_OPTIONAL_PARAMS = _one(
    "litellm.utils",
    "get_optional_params",
    called=Called(0, ("model", "custom_llm_provider", "drop_params", "temperature")),
    lost="a value of the caller's that a node's model refuses is sent to it all the same",
)
PRICES_BY_DEPLOYMENT = _one("litellm.main", "_get_router_deployment_id", until="1.110", lost=_PRICES)
PRICES_BY_CALL = _one(_LOGGING, "set_per_call_pricing", called=Called(1), since="1.110", lost=_PRICES)
OPENAI_COMPATIBLE = _one(
    "litellm", "openai_compatible_providers", lost="only endpoints of `openai/…` are asked which models they serve"
)
IS_INTERNAL_CALL = _one("litellm._internal_context", "is_internal_call", lost=_RECORDS)
COST_BREAKDOWN = _one(
    "litellm.cost_calculator",
    "get_token_type_cost_breakdown",
    called=Called(0, ("model", "custom_llm_provider", "usage")),
    lost="LiteLLM takes the costs of each call apart, which takes a tenth more work",
)
LISTENERS = tuple(
    _one("litellm", name, lost=_RECORDS)
    for name in ("service_callback", "_async_input_callback", "_async_success_callback", "_async_failure_callback")
)

STREAM_SOURCE = _one(
    _WRAPPER, "completion_stream", lost="refusals and signed thoughts in a stream get lost in LiteLLM's wrapper"
)
STREAM_PROVIDER = _one(_WRAPPER, "custom_llm_provider", lost=_AHEAD)
STREAM_CHUNKS = _one(_WRAPPER, "chunks", lost="tokens that LiteLLM estimates count as the provider's own")
RECEIVED_FINISH = _one(_WRAPPER, "received_finish_reason", lost=_BROKEN_OFF)
INTERMITTENT_FINISH = _one(_WRAPPER, "intermittent_finish_reason", lost=_BROKEN_OFF)
STREAM_LOGGING = _one(_WRAPPER, "logging_obj", lost="`get_trace` does not find a stream's trace")
REPEATED_LIMIT = _one("litellm", "REPEATED_STREAMING_CHUNK_LIMIT", lost=_AHEAD)


def stream_time_limit() -> Any:
    """How long LiteLLM lets a stream run, in seconds; None for no limit, and where a release knows none."""
    return getattr(_owner("litellm.constants"), "LITELLM_MAX_STREAMING_DURATION_SECONDS", None)


# Exceptions that LiteLLM's documentation does not list, and what they are taken for

EXCEPTIONS = {
    name: _one(owner, name, lost=_KIND, since=since)
    for owner, names, since in (
        (
            "litellm.exceptions",
            (
                "BadGatewayError",
                "BlockedPiiEntityError",
                "GuardrailRaisedException",
                "MidStreamFallbackError",
                "ModifyResponseException",
                "SensitiveDataRouteException",
            ),
            "",
        ),
        ("litellm.types.router", ("RouterRateLimitError", "RouterRateLimitErrorBasic"), ""),
    )
    for name in names
}
PAYMENT_REQUIRED = _one("litellm.exceptions", "PaymentRequiredError", since="1.106", lost="a 402 is told as a 400")

# The way around the OpenAI SDK

OPENAI_CHAT = _one("litellm.main", "openai_chat_completions", lost=_SDK)
MAKE_REQUEST = _one(
    "litellm.llms.openai.openai:OpenAIChatCompletion",
    "make_openai_chat_completion_request",
    called=Called(0, ("openai_aclient", "data", "timeout", "logging_obj")),
    lost=_SDK,
)
TRANSPORT = _one(_TRANSPORT, "LiteLLMAiohttpTransport", lost=_SDK)
TRANSPORT_SESSION = _one(
    f"{_TRANSPORT}:LiteLLMAiohttpTransport", "_get_valid_client_session", called=Called(), lost=_SDK
)
TRANSPORT_PROXY = _one(f"{_TRANSPORT}:LiteLLMAiohttpTransport", "_get_proxy_settings", called=Called(1), lost=_SDK)
TRANSPORT_TLS = _one(f"{_TRANSPORT}:LiteLLMAiohttpTransport", "_ssl_verify", lost=_SDK)
RESPONSE_STREAM = _one(_TRANSPORT, "AiohttpResponseStream", called=Called(1), lost=_SDK)
MAP_EXCEPTIONS = _one(_TRANSPORT, "map_aiohttp_exceptions", called=Called(), lost=_SDK)

RAW_RESPONSE = _one("openai._legacy_response", "LegacyAPIResponse", lost=_SDK)
REQUEST_OPTIONS = _one("openai._models", "FinalRequestOptions", lost=_SDK)
SDK_JSON = _one(
    "openai._utils._json", "openapi_dumps", called=Called(1), since="2.54", lost="dates in a request are refused"
)
SDK_CONNECTION_ERRORS = _one(
    "openai._httpx2",
    "request_exceptions",
    called=Called(),
    since="3.0",
    lost="any failure to send counts as the connection's",
)
IDEMPOTENCY = _one(_CLIENT, "_idempotency_header", lost=_SDK)
BUILD_REQUEST = _one(_CLIENT, "_build_request", called=Called(1), lost=_SDK)
HTTP_CLIENT = _one(_CLIENT, "_client", lost=_SDK)
STATUS_ERROR = _one(_CLIENT, "_make_status_error_from_response", called=Called(1), lost=_SDK)
PROCESS_DATA = _one(_CLIENT, "_process_response_data", called=Called(0, ("data", "cast_to", "response")), lost=_SDK)
SSE_DECODER = _one(_CLIENT, "_make_sse_decoder", called=Called(), lost=_SDK)
OTHER_CREDENTIALS = ("_api_key_provider", "_workload_identity_auth", "_provider_runtime")
"""Where some releases of the SDK keep what finds a key anew for each call."""
STREAM_ITERATOR = _one("openai:AsyncStream", "_iterator", lost=_SDK)
STREAM_CLIENT = _one("openai:AsyncStream", "_client", lost=_SDK)
HTTPX_TRANSPORT = _one("httpx:AsyncClient", "_transport_for_url", called=Called(1), lost=_SDK)
CONSTRUCT = _one("pydantic:BaseModel", "model_construct", lost=_SDK)
FAST = (
    OPENAI_CHAT,
    MAKE_REQUEST,
    TRANSPORT,
    TRANSPORT_SESSION,
    TRANSPORT_PROXY,
    TRANSPORT_TLS,
    RESPONSE_STREAM,
    MAP_EXCEPTIONS,
    RAW_RESPONSE,
    REQUEST_OPTIONS,
    IDEMPOTENCY,
    BUILD_REQUEST,
    HTTP_CLIENT,
    STATUS_ERROR,
    PROCESS_DATA,
    SSE_DECODER,
    STREAM_ITERATOR,
    STREAM_CLIENT,
    HTTPX_TRANSPORT,
    CONSTRUCT,
)
"""What the way around the SDK needs; without one of them no call goes there."""

# A Router

REGISTRY = _one(_ROUTER, "registry", called=Called(), since="1.109", lost=_ROWS)
SETTINGS = _one(
    _ROUTER, "settings", called=Called(), since="1.109", lost="a Router's fallbacks are not in worst-case costs"
)
MODEL_NAMES = _one(_ROUTER, "model_names", until="1.109", lost=_ROWS)
MODEL_GROUP_ALIAS = _one(_ROUTER, "model_group_alias", lost="a Router's aliases are not known")
ROUTER_MODEL_INFO = _one(_ROUTER, "get_model_info", called=Called(1), until="1.109", lost=_ROWS)

# The proxy

_REFUSES = "the proxy refuses composites, since it cannot tell what their clients may do"
_AUTH = "litellm.proxy.auth.auth_checks"
LLM_ROUTER = _one(_PROXY_SERVER, "llm_router", lost=_REFUSES)
MODEL_LIST = _one(_PROXY_SERVER, "llm_model_list", lost=_REFUSES)
GENERAL_SETTINGS = _one(_PROXY_SERVER, "general_settings", lost=_REFUSES)
MASTER_KEY = _one(_PROXY_SERVER, "master_key", lost=_REFUSES)
CUSTOM_AUTH = _one(_PROXY_SERVER, "user_custom_auth", lost=_REFUSES)
DATABASE = _one(_PROXY_SERVER, "prisma_client", lost=_NO_USER)
KEY_CACHE = _one(_PROXY_SERVER, "user_api_key_cache", lost=_NO_USER)
CONFIG_PATH = _one(
    _PROXY_SERVER, "user_config_file_path", lost="mistakes in a proxy's configuration are not told at its start"
)
KEY_MAY_CALL = _one(
    _AUTH,
    "can_key_call_resolved_model",
    called=Called(0, ("model", "llm_model_list", "valid_token", "llm_router")),
    lost="models that a client names are not allowed to any key",
)
USER_MAY_CALL = _one(
    _AUTH,
    "can_user_call_model",
    called=Called(0, ("model", "llm_router", "user_object")),
    lost=KEY_MAY_CALL.lost,
)
USER_OBJECT = _one(
    _AUTH,
    "get_user_object",
    called=Called(0, ("user_id", "prisma_client", "user_api_key_cache", "user_id_upsert")),
    lost=_NO_USER,
)
HEALTH_CHECK = _one("litellm", "ahealth_check", called=Called(1), lost="LiteLLM's health checks of composites fail")
CREDENTIALS = _one(
    "litellm.litellm_core_utils.credential_accessor",
    "CredentialAccessor",
    lost="a deployment's `litellm_credential_name` is not looked up",
)
CALL_NAMES = _one("litellm.types.utils", "all_litellm_params", lost=_NAMES)
OPENAI_NAMES = _one("litellm.constants", "OPENAI_CHAT_COMPLETION_PARAMS", lost=_NAMES)
DEPLOYMENT_NAMES = tuple(
    _one("litellm.types.router", name, lost=_NAMES)
    for name in ("LiteLLM_Params", "GenericLiteLLMParams", "CredentialLiteLLMParams")
)
PART_TYPES = _one(
    "litellm.types.llms.openai", "ValidUserMessageContentTypes", lost="a part of an unknown type is LiteLLM's to refuse"
)

# Keys and parameters, which no look-up can find missing: where LiteLLM stops reading one, what it is for is lost.

SKIP_MCP = "_skip_mcp_handler"
"""A parameter: a call with tools does without the package `mcp`, which LiteLLM imports otherwise."""
ADDITIONAL_COST = "additional_response_cost"
"""Of `model_call_details`: LiteLLM adds it to the price of whatever answers."""
DISPATCHED = "has_dispatched_final_stream_success"
"""Of `model_call_details`: LiteLLM's mark of a stream that is in its books; what it marks is not booked again."""
PARTIAL_USAGE = "combined_usage_object"
"""Of `model_call_details`, and of a failed request of the proxy: tokens that were used before the failure."""
RESPONSE_COST = "response_cost"
"""The same for money; of `_hidden_params`, for which it is documented, too."""
RAW_RESPONSE_HEADER = {"X-Stainless-Raw-Response": "true"}
"""What the SDK sends with a call whose headers its caller wants to see."""

# Standard library

REGISTER_ATEXIT = _one(
    "threading",
    "_register_atexit",
    called=Called(1),
    lost="a program that has asked a composite without `await` may not end by itself",
)

NAMES: tuple[PrivateName, ...] = tuple(
    name
    for value in list(globals().values())
    for name in (value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,))
    if isinstance(name, PrivateName)
)
"""All of them, some more than once."""


def warn_of_missing(*, routed: bool) -> None:
    """One line of the log for each name that the installed releases lack; once.

    Args:
        routed: Whether a Router is in use; looking at its class loads it.
    """
    for name in dict.fromkeys(NAMES):
        if name not in _LOOKED_AT and (routed or name.owner != _ROUTER):
            _LOOKED_AT.add(name)
            if name.is_missing():
                release = ".".join(map(str, release_of(name.distribution)))
                _log.warning(
                    "%s %s has no %s as this package knows it: %s", name.distribution, release, name, name.lost
                )


_LOOKED_AT: set[PrivateName] = set()
