"""One attempt at one model, and what is known about models: the two things the engine needs from below."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from composite_llm.model.errors import Restriction
from composite_llm.model.usage import NO_USAGE, Usage

Message = dict[str, Any]
"""A chat message in OpenAI's form."""

Params = Mapping[str, Any]
"""Call parameters under LiteLLM's names."""

NO_PARAMS: Params = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Progress:
    """How far an attempt has come.

    Attributes:
        fetching: What its messages point to is still being fetched: its provider was not asked yet.
    """

    fetching: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything one attempt needs.

    Attributes:
        model: A LiteLLM model string, or a name of the router.
        messages: The prompt; the backend does not change it.
        params: LiteLLM call parameters: the node's own and those of the request that belong to this call.
        inherited: Names of those parameters that come from the request, not from the node; sampling parameters among
            them are left out where the model does not take them.
        timeout_s: What to tell the client library; the engine enforces its own limits.
        metadata: Markers of the run that callbacks will see.
        trace_id: LiteLLM's trace id of the run, if any.
        session_id: LiteLLM's session id, if any.
        unique: Must not be answered from a response cache.
        final: Whether this is the call whose answer goes to the caller.
        restrictions: What it was made to do without, because its endpoint refuses that.
        scope: The engine's own state; what a nested composite continues. A backend only hands it on.
        progress: Written by the backend.
    """

    model: str
    messages: Sequence[Message]
    params: Params = field(default_factory=dict)
    inherited: frozenset[str] = frozenset()
    timeout_s: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    session_id: str | None = None
    unique: bool = False
    final: bool = False
    scope: object = None
    restrictions: frozenset[Restriction] = frozenset()
    progress: Progress = field(default_factory=Progress, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a reply; `message` in OpenAI's form, with whatever else the provider put there."""

    index: int
    message: Message
    finish_reason: str | None
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the model gave it.

    Attributes:
        choices: At least one.
        usage: Tokens of this attempt.
        cost_usd: None when the price is unknown.
        model: The underlying model that answered.
        extra: Further fields of the response worth passing on (`system_fingerprint`, `service_tier`, …).
        usage_reported: Whether the provider told the tokens; where it did not, the engine counts them.
        nested: Whether this is the reply of a nested composite, whose calls are in the trace already.
        origin: Model and endpoint that said it, for what belongs to them alone; None where that is not known.
    """

    choices: tuple[Choice, ...]
    usage: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    usage_reported: bool = True
    nested: bool = False
    origin: str | None = None

    @property
    def message(self) -> Message:
        """The first choice's message."""
        return self.choices[0].message

    @property
    def finish_reason(self) -> str | None:
        """The first choice's finish reason."""
        return self.choices[0].finish_reason


@dataclass(frozen=True, slots=True)
class ChoiceDelta:
    """What one chunk adds to one choice; `delta` in OpenAI's form without empty fields."""

    index: int
    delta: Message
    finish_reason: str | None = None
    logprobs: Any = None


@dataclass(slots=True)
class Chunk:
    """One piece of a streamed answer.

    Attributes:
        choices: Deltas; empty for a chunk that only carries usage.
        usage: Tokens of the whole attempt, on the chunk that has them.
        cost_usd: Their price, on the same chunk.
        raw: The library's own chunk where it can be passed on as it is.
        extra: As in `Reply`.
        nested: As in `Reply`.
    """

    choices: tuple[ChoiceDelta, ...]
    usage: Usage | None = None
    cost_usd: float | None = None
    raw: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    nested: bool = False


def as_nested(chunk: Chunk) -> Chunk:
    """A chunk of a nested composite: its calls count themselves, so the sum that it may carry is not passed on."""
    raw = chunk.raw if chunk.usage is None else None
    return replace(chunk, usage=None, cost_usd=None, raw=raw, nested=True)


NO_DELTA = Chunk(())
"""Goes through a stream so that what has just happened is told now, not with the next token."""


class Backend(Protocol):
    """Sends one attempt. Raises `AttemptFailed`, or `asyncio.CancelledError` when cancelled; retries nothing."""

    async def complete(self, request: AttemptRequest) -> Reply:
        """One plain attempt."""
        ...

    def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        """One streamed attempt; closing the iterator closes the connection.

        A chunk without choices may come first: the provider has accepted the request and works on it.
        """
        ...

    def endpoint(self, request: AttemptRequest) -> str | None:
        """Host and port that will be asked, where known."""
        ...

    def routed(self, model: str) -> bool:
        """Whether a router with retries, cooldowns and fallbacks of its own answers for this name."""
        ...

    def nested(self, model: str) -> bool:
        """Whether whatever answers for this name is a composite, so that its own attempts are what counts."""
        ...


class ModelFacts(Protocol):
    """What is known about a model without asking it."""

    def provider(self, model: str, params: Params) -> str | None:
        """LiteLLM's provider name, None for a name of the router or an unknown one."""
        ...

    def answering_provider(self, model: str, params: Params) -> str | None:
        """The same of what answers in the end: for a name of the router what all its deployments have in common."""
        ...

    def missing_key(self, model: str, params: Params) -> str | None:
        """The environment variable to set, where a call is sure to fail for want of a key; None in doubt."""
        ...

    def near_unknown(self, model: str, params: Params) -> Sequence[str] | None:
        """Names near one that nobody answers for, so that it can only be a mistake; None in doubt."""
        ...

    def context_window(self, model: str) -> int | None:
        """Tokens a prompt may have."""
        ...

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """Prompt tokens, as well as they can be told without asking."""
        ...

    def counts_exactly(self, model: str) -> bool:
        """Whether `count_tokens` knows the model's own tokenizer."""
        ...

    def takes(self, model: str, modality: str) -> bool | None:
        """Whether messages may hold `image`, `audio` or `file` parts; None when unknown."""
        ...

    def takes_schema(self, model: str) -> bool:
        """Whether `response_format` may ask for JSON that follows a schema."""
        ...

    def price(self, model: str, prompt_tokens: int, completion_tokens: int, params: Params = NO_PARAMS) -> float | None:
        """US dollars for so many tokens; None when unknown. Prices among the call's parameters count before all others."""
        ...

    def max_output_tokens(self, model: str) -> int | None:
        """The longest answer, where known."""
        ...
