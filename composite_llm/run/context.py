"""What a run is given besides its plan: its caller, and what all runs of a process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from composite_llm.backend.interface import Backend, ModelFacts
from composite_llm.backend.text_cache import MemoryTextCache, TextCache
from composite_llm.config.profiles import Profiles
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.endpoint_refusals import EndpointRefusals
from composite_llm.engine.positional_ballots import PositionalBallots
from composite_llm.engine.retry_cache import CachedAnswers, RetryCache
from composite_llm.engine.scope import Scope
from composite_llm.observe.observer import Observers
from composite_llm.observe.spending import Spending
from composite_llm.run.shared_limits import SharedLimits


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request brings besides its plan and messages.

    Attributes:
        metadata: The caller's own, identity stripped.
        trace_id: LiteLLM's trace id.
        session_id: LiteLLM's session id.
        identity: Who asks, for the record: on the proxy the key's hash.
        owner: Whom kept deliberations and answers belong to; None to keep and find none.
        timeout_s: Limit of the whole run.
        parent: The run around this one, when LiteLLM led a node's call back to us.
        shared: What this run uses up together with others; None for a run that stands alone.
        operators_timeout_s: The operator's limit for one run, where the caller is not the operator.
        permission: Raises if the caller may not reach the models it chose; asked before anything is spent.
        parent_span: The caller's OpenTelemetry span, where LiteLLM handed one over.
        chose_models: On the proxy, whether the models are its own choice and not the operator's.
        chose_time: Whether the limit is.
        drain_s: As in `Scope`; 0 where nobody is charged for a stream that is closed early.
        stored_answers: Given in the place of asking, in all stages before the final call.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    session_id: str | None = None
    identity: str | None = None
    owner: str | None = ""
    timeout_s: float | None = None
    parent: Scope | None = None
    shared: SharedLimits | None = None
    operators_timeout_s: float | None = None
    permission: Callable[[], Awaitable[None]] | None = None
    parent_span: Any = None
    chose_models: bool = False
    chose_time: bool = False
    drain_s: float = 0.0
    stored_answers: CachedAnswers | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What all runs of a process share.

    Attributes:
        backend: Sends attempts at real models.
        facts: What is known about models.
        profiles: Named strategies.
        tool_executors: Executors by the name they were registered under.
        store: Where deliberations are kept for the tool steps that follow them.
        breakers: Which models failed too often just now.
        endpoint_refusals: What endpoints were found to refuse.
        positional_ballots: Which reviewers only repeat the order in which they were shown the answers.
        tool_turns: Where final models' reasoning and signatures are kept for the tool steps that follow them.
        retry_cache: What failed runs had been answered.
        observers: Told about each run.
        spending: Knows what composites spent, for budgets over time; None without telemetry.
    """

    backend: Backend
    facts: ModelFacts
    profiles: Profiles = field(default_factory=Profiles)
    tool_executors: Mapping[str, Any] = field(default_factory=dict)
    store: TextCache = field(default_factory=MemoryTextCache)
    breakers: Breakers = field(default_factory=Breakers)
    retry_cache: RetryCache = field(default_factory=RetryCache)
    observers: Observers = field(default_factory=Observers)
    spending: Spending | None = None
    endpoint_refusals: EndpointRefusals = field(default_factory=EndpointRefusals)
    positional_ballots: PositionalBallots = field(default_factory=PositionalBallots)
    tool_turns: TextCache = field(default_factory=MemoryTextCache)
