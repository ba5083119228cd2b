"""Puts the provider into LiteLLM."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_error_classes import PROVIDER
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.backend.litellm_router import RouterInUse
from composite_llm.backend.litellm_served import ServedModels
from composite_llm.backend.litellm_text_cache import LiteLLMTextCache
from composite_llm.config.node import Node
from composite_llm.config.parameters import CONNECTION
from composite_llm.config.plan import Plan, make_plan
from composite_llm.config.profiles import Profiles, load_profiles
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.telemetry_section import telemetry_settings
from composite_llm.engine.breaker import Breakers, BreakerSettings, BreakerState
from composite_llm.engine.endpoint_refusals import EndpointRefusals
from composite_llm.engine.positional_ballots import PositionalBallots
from composite_llm.engine.retry_cache import RetryCache
from composite_llm.engine.tools import executor_of
from composite_llm.model.errors import InvalidConfig, InvalidOption
from composite_llm.model.messages import checked_messages
from composite_llm.model.model_strings import is_composite_model, profile_model
from composite_llm.model.sendable import check_sendable, check_values
from composite_llm.observe.observer import Observer, Observers
from composite_llm.observe.otel_settings import OtelSettings
from composite_llm.observe.telemetry_settings import TelemetrySettings
from composite_llm.provider.capabilities import install_capabilities, register_models
from composite_llm.provider.fallback_options import install_fallback_options
from composite_llm.provider.handler import CompositeLLM
from composite_llm.provider.observers import Telemetry, observers_of
from composite_llm.provider.reasoning_parameters import accept_reasoning_parameters
from composite_llm.provider.response_costs import install_response_costs
from composite_llm.proxy.config.at_start import check_at_start
from composite_llm.proxy.hooks import install_hooks
from composite_llm.run import Services
from composite_llm.run.explanation import Explanation, explain_plan
from composite_llm.run.spending_limits import PERIODS
from composite_llm.strategies import Strategy, strategy_for

_router = RouterInUse()
_facts = LiteLLMFacts(_router)
_backend = LiteLLMBackend(_facts, _router)
_store = LiteLLMTextCache()
# Apart, so that the many steps of one agent push no other's deliberations out.
_tool_turns = LiteLLMTextCache(max_entries=8192, max_characters=64_000_000)
_breakers = Breakers()
_retry_cache = RetryCache()
_endpoint_refusals = EndpointRefusals()
_positional_ballots = PositionalBallots()
_served = ServedModels()
_telemetry = Telemetry(lambda model: _facts.provider(model, {}))
_services: Services | None = None
_lock = threading.Lock()


def services() -> Services:
    """What all runs of this process share; the default configuration is read on first use."""
    global _services  # one per process, as LiteLLM's own registry
    with _lock:
        if _services is None:
            profiles = load_profiles()
            _services = _made(
                profiles,
                {},
                observers_of((), profiles, _facts),
                telemetry_settings(None, profiles.sections.get("telemetry")),
            )
        return _services


def _made(
    profiles: Profiles,
    tool_executors: Mapping[str, Any],
    observers: Observers,
    telemetry: TelemetrySettings | None,
) -> Services:
    store = _telemetry.observer(telemetry)
    told = observers if store is None else observers.with_one_more(store)
    spending = store.spending if store is not None else None
    return Services(
        _backend,
        _facts,
        profiles,
        tool_executors,
        _store,
        _breakers,
        _retry_cache,
        told,
        spending,
        _endpoint_refusals,
        _positional_ballots,
        _tool_turns,
    )


handler = CompositeLLM(services)


def register(
    *,
    router: litellm.Router | None = None,
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    tool_executors: Mapping[str, Any] | None = None,
    breaker: BreakerSettings | Mapping[str, float] | None = None,
    observers: Sequence[Observer] = (),
    otel: bool | Mapping[str, Any] | OtelSettings | None = None,
    telemetry: bool | str | os.PathLike[str] | Mapping[str, Any] | TelemetrySettings | None = None,
    fast_openai: bool = True,
    models: Iterable[str | Mapping[str, Any]] = (),
    strategies: Iterable[type[Strategy[Any]]] = (),
    check: bool = False,
) -> None:
    """Add the provider `composite` to LiteLLM. It may be called again; other custom providers are kept.

    Args:
        router: A `litellm.Router` whose model names the nodes may use.
        config: Path of a YAML file, or a mapping, with profiles. Default: the file that `COMPOSITE_LLM_CONFIG` names, else
            `composite.yaml` in the working directory if it exists, else none.
        tool_executors: Executors under the names that the option `tool_executor` takes, for callers that cannot pass a
            function.
        breaker: When circuit breakers open: `failures` (5) within `window_s` (60), for `open_s` (30; 0 for never).
        observers: Called for each run; they replace those of an earlier call.
        otel: Spans and metrics for OpenTelemetry: True, `OtelSettings`, or a mapping of them. Default: the `otel` section
            of the configuration.
        telemetry: Store what runs did in an SQLite file: True, its path, or settings (`path`, `privacy`, `max_age_days`,
            `max_size_mb`); False for no telemetry. Default: `COMPOSITE_LLM_TELEMETRY` or the configuration.
        fast_openai: Send what LiteLLM sends through the OpenAI SDK without the SDK, which is the same with less than half
            of the work; False: as LiteLLM by itself.
        models: Composites to be listed in LiteLLM's model table: model strings, or mappings with `model` and the options
            that it will be called with. Without it a name is known when it is asked for, by what its own model can.
        strategies: Strategies of the program's own, besides those that ship and those of installed packages; they stay
            known.
        check: Ask the endpoints of all profiles now whether they serve their models; see `check`.

    Raises:
        InvalidConfig: The profiles cannot be used, with file, line and key; a model is not served, or a strategy cannot
            be used.
        InvalidOption: A tool executor is not callable; OpenTelemetry is wanted and not installed; one of `models` is no
            composite, or its options cannot be used.
    """
    global _services  # as above
    for strategy in strategies:
        STRATEGIES.add(strategy)
    executors = dict(tool_executors or {})
    for name in executors:
        executor_of(name, executors)
    profiles = load_profiles(config)
    told = observers_of(observers, profiles, _facts, otel=otel)
    settings = telemetry_settings(telemetry, profiles.sections.get("telemetry"))
    if settings is None:
        _check_countable(profiles)
    if breaker is not None:
        _breakers.settings = breaker_settings(breaker)
    with _lock:
        _backend.fast_openai = fast_openai
        if router is not None:
            use_router(router)
        known = _services.tool_executors if _services is not None else {}
        _services = _made(profiles, {**known, **executors}, told, settings)
    install()
    register_models(models, profiles, _facts)
    if check:
        problems = [problem for name in profiles.by_name for problem in check_models(name)]
        if problems:
            raise InvalidConfig("; ".join(dict.fromkeys(problems)))


def _check_countable(profiles: Profiles) -> None:
    for name, profile in profiles.by_name.items():
        for cap in PERIODS:
            if profile.options.get(cap) is not None:
                raise InvalidConfig(f"profiles.{name}.{cap}: needs telemetry, which keeps what was spent")


def flush(timeout_s: float = 5.0) -> bool:
    """Wait until telemetry has written everything; False if it could not be written in time."""
    return _telemetry.flush(timeout_s)


def use_router(router: litellm.Router | None) -> None:
    """The Router whose model names the nodes may use from now on; None for that of LiteLLM's proxy, if this is one."""
    _router.own = router


def check_models(profile_or_options: str | Mapping[str, Any]) -> list[str]:
    """Ask the OpenAI-compatible endpoints of a profile or of options whether they serve the models; uses no tokens.

    Args:
        profile_or_options: A profile's name, a composite model string, or a mapping with `model` (a composite model
            string) and options. The endpoints' lists are remembered for ten minutes.

    Returns:
        One sentence for each node that would fail; empty if there is none.

    Raises:
        CompositeError: The profile or the options cannot be used.
    """
    if isinstance(profile_or_options, str):
        named = is_composite_model(profile_or_options)
        model = profile_or_options if named else profile_model(profile_or_options)
        options: dict[str, Any] = {}
    else:
        options = dict(profile_or_options)
        model = str(options.pop("model", ""))
    known = services()
    plan = make_plan(model, options, known.profiles)
    leaves = strategy_for(plan, [{"role": "user", "content": ""}]).leaves()
    return _served.problems(_connected(node, strategy.plan) for strategy, node in leaves)


def _connected(node: Node, plan: Plan) -> Node:
    """A node with the connection that a run of its plan would call it with."""
    own = any(key in node.params for key in CONNECTION)
    if own or _facts.provider(node.model, node.params) != _facts.provider(plan.final.model, plan.final.params):
        return node
    return node.model_copy(update={key: value for key, value in plan.params.items() if key in CONNECTION})


def explain(model: str, messages: list[Any] | None = None, **options: Any) -> Explanation:
    """Say what a composite would do, without a call: stages, calls, rounds, best and worst cost, latency class.

    Args:
        model: A composite model string.
        messages: The conversation; default: an empty question.
        options: As for `litellm.completion`.

    Raises:
        CompositeError: A call would be refused for the same reason.
    """
    known = services()
    check_values({"messages": messages, **options})
    plan = make_plan(model, options, known.profiles)
    conversation = checked_messages(messages or [{"role": "user", "content": ""}])
    check_sendable(conversation, options)
    return explain_plan(plan, conversation, known.facts)


def breaker_settings(given: BreakerSettings | Mapping[str, float]) -> BreakerSettings:
    """Checked settings.

    Raises:
        InvalidOption: An unknown key or a negative number.
    """
    if isinstance(given, BreakerSettings):
        return given
    known = BreakerSettings.__dataclass_fields__
    for key, value in given.items():
        if key not in known:
            raise InvalidOption(f"breaker.{key}", "unknown key", allowed=", ".join(known), value=value)
        if not value >= 0:
            raise InvalidOption(f"breaker.{key}", f"got {value!r}", allowed="a number of 0 or more", value=value)
    values: Any = dict(given)
    return BreakerSettings(**values)


def breakers() -> list[BreakerState]:
    """The circuit breakers of this process that have counted failures, the open ones first."""
    return _breakers.states()


def reset_breakers() -> None:
    """Close all circuit breakers and forget their failures."""
    _breakers.reset()
    _endpoint_refusals.reset()
    _positional_ballots.reset()


def install() -> None:
    """The entries in LiteLLM that make the provider work; harmless when they are there already."""
    # LiteLLM prints advertising for its issue tracker to standard output when a call fails, which breaks every program
    # that speaks JSON there; a composite makes failing calls an everyday event.
    litellm.suppress_debug_info = True
    on_proxy = "litellm.proxy.proxy_server" in sys.modules
    compat.warn_of_missing(routed=on_proxy or _router.own is not None)
    if on_proxy:
        _check_proxy_once()
    others = [entry for entry in litellm.custom_provider_map if entry["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    if (setup := compat.CUSTOM_LLM_SETUP.get()) is not None:
        setup()
    accept_reasoning_parameters()
    install_response_costs()
    install_fallback_options()
    if on_proxy:
        install_hooks(lambda: services().profiles)
    install_capabilities(services().profiles, _facts)
    # Otherwise LiteLLM's response cache does not look at our options, and composites of different members share answers.
    litellm.enable_caching_on_provider_specific_optional_params = True


@functools.cache
def _check_proxy_once() -> None:
    check_at_start()
