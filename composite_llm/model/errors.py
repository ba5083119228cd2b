"""The errors of a run, free of LiteLLM: what happened, with the HTTP status a client should see.

    CompositeError            status_code; the message is one sentence the caller can act on
      InvalidOption     400   key, value, allowed
      InvalidConfig     400   a profile file that cannot be used
      UnknownStrategy   404   nearest names
      UnknownProfile    404   nearest names
      OptionNotAllowed  403   a client of the proxy set what only the operator may
      ContextWindowExceeded 400  the caller's own messages do not fit the final model
      QuorumNotMet      503   stage, needed, got, failures
      FinalCallFailed   502   node, failures
      InvalidOutput     502   the answer never satisfied `response_format`
      BudgetExceeded    402   limit_name, limit, used. Not 429: clients retry 429 and would spend again
      RunTimeout        408   limit_s, stages finished

The provider raises each of them as a subclass of the LiteLLM exception of the same status, so both `except` forms work.
No message carries a prompt, an answer, a key or an upstream body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from composite_llm.model.usage import NO_USAGE, Usage

if TYPE_CHECKING:
    from composite_llm.model.trace import Trace

FailureKind = Literal[
    "rejected",  # 400: this request is wrong for this model
    "unsendable",  # 400: it could not be put into the model's form, so nothing was sent
    "authentication",  # 401, 403
    "not_found",  # 404
    "context_window",
    "content_policy",
    "rate_limited",  # 429
    "timed_out",
    "unavailable",  # 5xx, connection refused or dropped
    "malformed",  # an answer that could not be read
    "blank",  # neither text nor anything else, though nothing cut it off
    "unusable",  # filtered, cut off before its text, or tool-only where text was needed
    "breaker_open",  # not asked: it failed too often just now
    "budget",  # not asked: a cap of the run was reached
    "invalid_output",  # did not satisfy `response_format` or a tool's schema
    "internal",  # a mistake of ours, of LiteLLM's or of what is installed; nobody was reached
]

Restriction = Literal[
    "strict_turns",  # user and assistant take turns
    "no_system_role",
    "no_response_format",
    "reasoning_required",  # of each assistant message that calls tools, of earlier turns too
    "signatures_required",  # of the running turn's tool calls
    "no_reasoning",  # in the messages
    "other_signatures",  # than those of this conversation, which are not its own
    "no_tool_history",
    "no_media",  # pictures, sounds or files
]
"""What an endpoint asks of a request that others do not, or does not take of it."""

STATUS_OF_KIND: dict[FailureKind, int] = {
    "rejected": 400,
    "unsendable": 400,
    "context_window": 400,
    "content_policy": 400,
    "not_found": 404,
    "rate_limited": 429,
    "timed_out": 408,
    "budget": 402,
    # The key of a node is the operator's: its 401 must not tell the client that the client's key is bad.
    "authentication": 502,
    "unavailable": 503,
    "malformed": 502,
    "blank": 502,
    "unusable": 502,
    "breaker_open": 503,
    "invalid_output": 502,
    "internal": 500,
}

RETRYABLE_KINDS: frozenset[FailureKind] = frozenset({"rate_limited", "timed_out", "unavailable", "malformed"})


OF_PROVIDERS: frozenset[FailureKind] = frozenset(
    {"authentication", "not_found", "rate_limited", "timed_out", "unavailable", "malformed", "breaker_open"}
)
"""Failures of a model, its endpoint or its set-up; all others a request can bring about by what it asks."""


@dataclass(frozen=True, slots=True)
class StatedWindow:
    """A context window as a provider's refusal names it, in the provider's own tokens.

    Attributes:
        limit: The window; None where the refusal does not name it.
        prompt: The prompt that was refused.
        answer: What of the window the refusal keeps for the answer.
    """

    limit: int | None = None
    prompt: int | None = None
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one attempt gave no usable answer; a value, so that a stage can count it.

    Attributes:
        kind: What happened, in our words.
        reason: One short clause for people; no upstream text, no key.
        status_code: The upstream's HTTP status, if there was one.
        error_class: Class name of the underlying error.
        retry_after_s: Seconds the upstream asked to wait.
        usage: Tokens the failed attempt consumed nevertheless.
        cost_usd: Their price; None when unknown.
        given_up: Nothing went wrong; the stage could not use its answer any more.
        cause: What happened in a few words, without the endpoint.
        provider_message: The provider's own sentence, masked and cut; for the trace, never for an error.
        window: What the refusal of a prompt that was too long says of the window.
        restriction: What the refusal says that a request must do without.
    """

    kind: FailureKind
    reason: str
    status_code: int | None = None
    error_class: str | None = None
    retry_after_s: float | None = None
    usage: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    given_up: bool = False
    cause: str | None = None
    provider_message: str | None = None
    window: StatedWindow | None = None
    restriction: Restriction | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed a moment later."""
        return self.kind in RETRYABLE_KINDS


def key_missing(variable: str) -> Failure:
    """The failure of a call that has no key."""
    return Failure("authentication", f"not asked: {variable} is not set", cause=f"{variable} is not set")


class AttemptFailed(Exception):  # a signal between backend and engine, never seen outside
    """One attempt failed; carries the `Failure` from the backend to the engine."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class CompositeError(Exception):
    """A run that could not give an answer, or a request that could not become a run."""

    status_code: int = 500
    trace: Trace | None = None
    """What the failed run did and spent; None when it failed before its first call."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def is_providers(self) -> bool:
        """Whether models, or the way to them, are what failed: the next request may fail on them too."""
        return False


class InvalidOption(CompositeError):
    """An option, a node or the messages cannot be used as given."""

    status_code = 400

    def __init__(self, key: str, problem: str, *, allowed: str | None = None, value: object = None) -> None:
        super().__init__(f"{key}: {problem}" + (f"; allowed: {allowed}" if allowed else ""))
        self.key = key
        self.value = value
        self.allowed = allowed


class InvalidConfig(CompositeError):
    """A profile file that cannot be read or holds something unknown."""

    status_code = 400


class UnknownStrategy(CompositeError):
    """The model string names no strategy."""

    status_code = 404


class UnknownProfile(CompositeError):
    """The model string names a profile that no configuration has."""

    status_code = 404


class OptionNotAllowed(CompositeError):
    """A client of the proxy set an option or a model that only the operator may set."""

    status_code = 403


class ContextWindowExceeded(CompositeError):
    """The caller's own messages do not fit the final model."""

    status_code = 400


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A node that gave no usable answer, and why."""

    name: str
    failure: Failure

    def __str__(self) -> str:
        return f"{self.name}: {self.failure.reason}"


def common_kind(failures: Sequence[NodeFailure]) -> FailureKind | None:
    """The kind that all who failed themselves share, or None."""
    kinds = _kinds(failures)
    return kinds.pop() if len(kinds) == 1 else None


def _any_of_providers(failures: Sequence[NodeFailure]) -> bool:
    return any(kind in OF_PROVIDERS for kind in _kinds(failures))


def _kinds(failures: Sequence[NodeFailure]) -> set[FailureKind]:
    return {failed.failure.kind for failed in failures if not failed.failure.given_up}


class QuorumNotMet(CompositeError):
    """A stage got fewer usable answers than it needs.

    The status is the members' own when all failed alike with 429 or a kind of 400, 502 for their 401, 403, else 503.
    """

    status_code = 503

    def __init__(self, stage: str, needed: int, got: int, failures: Sequence[NodeFailure]) -> None:
        listed = "; ".join(str(failed) for failed in failures)
        super().__init__(
            f"stage '{stage}' needs {needed} usable answer{'s' if needed != 1 else ''}, got {got}"
            + (f"; failed: {listed}" if listed else "")
        )
        self.stage = stage
        self.needed = needed
        self.got = got
        self.failures = tuple(failures)
        self.kind = common_kind(self.failures)
        statuses = {STATUS_OF_KIND[kind] for kind in _kinds(self.failures)}
        if statuses == {400} or self.kind in ("rate_limited", "authentication", "internal"):
            self.status_code = statuses.pop()

    @property
    def is_providers(self) -> bool:
        """Whether a model that failed by itself is among the reasons."""
        return _any_of_providers(self.failures)


class FinalCallFailed(CompositeError):
    """The aggregator or chairman failed, and its fallbacks too. The status is that of the last cause."""

    status_code = 502

    def __init__(self, stage: str, failures: Sequence[NodeFailure], received_chars: int = 0) -> None:
        listed = "; ".join(str(failed) for failed in failures)
        broken = f" after {received_chars} characters of its answer" if received_chars else ""
        super().__init__(f"stage '{stage}': the final call failed{broken}: {listed}")
        self.stage = stage
        self.failures = tuple(failures)
        self.received_chars = received_chars
        self.kind: FailureKind = failures[-1].failure.kind if failures else "unavailable"
        self.status_code = STATUS_OF_KIND[self.kind]
        # An upstream's plain 500 stays a 500; 503 is kept for "come back later".
        upstream = failures[-1].failure.status_code if failures else None
        if self.kind == "unavailable" and upstream is not None and upstream >= 500:
            self.status_code = upstream

    @property
    def is_providers(self) -> bool:
        """As of a stage."""
        return _any_of_providers(self.failures)


class InvalidOutput(CompositeError):
    """The final answer never satisfied `response_format` or a tool's schema."""

    status_code = 502


class BudgetExceeded(CompositeError):
    """A hard cap of the run was reached, or the next step cannot fit under it."""

    status_code = 402

    def __init__(self, limit_name: str, limit: float, used: float, detail: str = "", *, reached: bool = True) -> None:
        state = "is reached" if reached else "leaves too little"
        super().__init__(f"{limit_name} of {limit:g} {state}: used {used:g}{detail}")
        self.limit_name = limit_name
        self.limit = limit
        self.used = used

    def advise(self, advice: str) -> None:
        """Add what can be done about it."""
        self.message = f"{self.message}; {advice}"
        self.args = (self.message,)


class RunTimeout(CompositeError):
    """The whole run did not finish within its `timeout`."""

    status_code = 408

    def __init__(self, limit_s: float, stages_finished: Sequence[str], waiting_for: Sequence[str] = ()) -> None:
        done = ", ".join(stages_finished) or "none"
        waiting = f"; waiting for {', '.join(waiting_for)}" if waiting_for else ""
        super().__init__(f"no answer within timeout={limit_s:g} s; stages finished: {done}{waiting}")
        self.limit_s = limit_s
        self.stages_finished = tuple(stages_finished)

    @property
    def is_providers(self) -> bool:
        """The models took too long; unless who asked gave them too little time."""
        return True
