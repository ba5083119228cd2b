"""What a run did: every call, attempt and tool, their tokens and money. Data only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from typing_extensions import deprecated

from composite_llm.model.call_tree import CallTree
from composite_llm.model.documented import describe_fields
from composite_llm.model.structured_text import Degradation, NextStep
from composite_llm.model.trace_renderer import renderer
from composite_llm.model.usage import Usage

CallStatus = Literal["ok", "failed", "timed_out", "abandoned", "cancelled"]
TraceStatus = Literal["ok", "degraded", "failed", "cancelled"]
CANCELLED = "cancelled"
"""The error of a run whose caller had gone."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra=describe_fields)


class Attempt(_Record):
    """One try at one model."""

    model: str
    response_model: str | None = None
    """The model as the provider named it in its answer, where it did."""
    endpoint: str | None = None
    """Host and port that were asked, where known."""
    start_s: float
    """Seconds after the run's start."""
    duration_s: float
    first_token_s: float | None = None
    """Seconds after the run's start; only of streamed attempts."""
    status: CallStatus
    error: str | None = None
    error_class: str | None = None
    status_code: int | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    next_step: NextStep | None = None
    """What followed a failed attempt and why: a retry, a fallback, or giving up."""
    estimated: bool = False
    """Whether the tokens were counted here because the provider did not tell them: the answer broke off, or it never does."""
    nested: bool = False
    """Whether a composite answered, whatever it was called by: it consumes nothing itself, its calls count themselves."""
    provider_message: str | None = None
    """The provider's own sentence about a failure, secrets masked, at most 500 characters. It may quote the prompt."""

    @property
    def without_usage(self) -> bool:
        """Whether it was cut off before its provider told its tokens: they count as none, whatever is billed for them."""
        cut_off = self.status in ("timed_out", "abandoned", "cancelled")
        return cut_off and not self.usage.total_tokens and not self.nested

    @property
    @deprecated("use `without_usage`")
    def untold(self) -> bool:
        """The former name of `without_usage`; goes with release 0.2."""
        return self.without_usage


class Call(_Record):
    """One answer wanted from one role: all its attempts, fallbacks and hedges.

    `usage` and `cost_usd` are what its own attempts consumed.
    A nested composite consumes nothing itself: its calls are entries of their own, with its `id` as their `parent_id`.
    So the sums over `Trace.calls` are the sums of the run.
    """

    id: str
    parent_id: str | None = None
    stage: str
    role: str
    name: str
    model: str
    """The model that answered; a fallback's, if it came to that."""
    start_s: float
    duration_s: float
    first_token_s: float | None = None
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    status: CallStatus
    error: str | None = None
    attempts: list[Attempt] = []
    composites: list[str] = []
    """Model strings of the composites that ran inside of it, also where a Router's name led there."""
    content: str | None = None
    """The answer's text; None if there was none. Of a reviewer as it was written, with its own labels in it."""
    labels: dict[str, str] = {}
    """Of a reviewer: under which label it saw whose answer, in the order in which it saw them."""
    critiques: dict[str, str] = {}
    """Of a reviewer: what it says of each answer, by the author's name, with authors' names in the place of labels."""

    @property
    def cut_off(self) -> bool:
        """Whether a token limit ended the answer."""
        return self.status == "ok" and any(
            attempt.status == "ok" and attempt.finish_reason == "length" for attempt in self.attempts
        )


UNREADABLE_ARGUMENTS = "invalid_arguments"


class ToolCall(_Record):
    """One tool that the run itself executed."""

    id: str
    """The model's id of the call."""
    round: int
    name: str
    arguments: dict[str, Any] | str
    """As parsed; the raw text where the model sent no valid JSON object."""
    result: str | None = None
    error: str | None = None
    error_class: str | None = None
    """Class name of what the tool raised; `invalid_arguments` where they could not be read and nothing was run."""
    start_s: float
    duration_s: float


class RankedAnswer(_Record):
    """One row of a council's table, best first."""

    label: str
    name: str
    rank: int
    """From 1; tied answers share a rank."""
    score: float
    """The chosen method's own score."""
    mean_position: float | None
    """Mean place over the ballots that could rank it, from 1; None without a ballot."""
    first_places: int


class Dissent(_Record):
    """An answer that some reviewer ranked first and the majority ranked low."""

    name: str
    label: str
    champions: list[str]
    """The reviewers who ranked it first."""
    rank: int
    """Its place in the group's order."""


class ReviewRecord(_Record):
    """One reviewer's ballot, labels already translated back to names."""

    reviewer: str
    ranking: list[str]
    """Names of the answers, best first, without the reviewer's own."""
    abstained: bool = False
    problems: list[str] = []
    labels: dict[str, str] = {}
    """Under which label it saw whose answer, in the order in which it saw them."""
    critiques: dict[str, str] = {}
    """What it says of each answer, by the author's name; as it was written in its call's `content`."""


class Ranking(_Record):
    """The outcome of a council's vote."""

    method: Literal["borda", "mean_position", "copeland"]
    table: list[RankedAnswer]
    ballots: list[ReviewRecord]
    agreement: float | None
    """Kendall's W between the reviewers, 0 to 1; None where it is undefined."""
    dissent: list[Dissent] = []

    @property
    def order(self) -> list[str]:
        """Names, best first."""
        return [row.name for row in self.table]


def _status(error: str | None, degraded: bool) -> TraceStatus:
    if error is not None:
        return "cancelled" if error == CANCELLED else "failed"
    return "degraded" if degraded else "ok"


class Trace(_Record):
    """One run, start to finish; `model_dump_json` round-trips."""

    id: str
    strategy: str
    model: str
    """The composite model string that the caller used."""
    started_at: datetime
    """UTC."""
    duration_s: float
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    """US dollars over all attempts; None as soon as one price is unknown."""
    degraded: list[Degradation] = []
    """Every departure from the configuration; empty when all went as configured. Each is text, "code: …", too."""
    status: TraceStatus = "ok"
    """How the run ended; `degraded` with an answer but otherwise than configured, `cancelled` when its caller had gone."""
    calls: list[Call] = []
    tool_calls: list[ToolCall] = []
    error: str | None = None
    error_class: str | None = None
    """Class name of the error that ended the run."""
    ranking: Ranking | None = None
    notes: list[str] = []
    """What was worth saying before the run started, such as that it samples its own model."""
    self_moa: bool = False
    """Whether the proposers are samples of the aggregator's own model because none were named."""
    reused: bool = False
    """Whether this run used the answers of an earlier deliberation of the same user turn."""

    @model_validator(mode="before")
    @classmethod
    def _with_status(cls, values: Any) -> Any:
        """Of a trace that was made or stored without one, its status."""
        if not isinstance(values, Mapping) or "status" in values:
            return values
        return {**values, "status": _status(values.get("error"), bool(values.get("degraded")))}

    @property
    def ending(self) -> Literal["ok", "failed", "cancelled"]:
        """How the run ended, whatever it departed from: a degraded one has an answer too."""
        return "ok" if self.status == "degraded" else self.status

    @property
    def degraded_codes(self) -> list[str]:
        """What kinds of departure there were, each once: `degraded` without its clauses for people."""
        return list(dict.fromkeys(reason.code for reason in self.degraded))

    @property
    def attempts_without_usage(self) -> int:
        """How many attempts were cut off before their tokens were told; unless 0, usage and cost are lower bounds."""
        return sum(attempt.without_usage for call in self.calls for attempt in call.attempts)

    @property
    @deprecated("use `attempts_without_usage`")
    def untold_attempts(self) -> int:
        """The former name of `attempts_without_usage`; goes with release 0.2."""
        return self.attempts_without_usage

    def children(self, parent_id: str | None) -> Iterator[Call]:
        """The calls directly below one call, or the run's own for None."""
        return iter(CallTree(self.calls).children(parent_id))

    def subtree(self, call: Call) -> Iterator[Call]:
        """A call and everything that ran below it."""
        return CallTree(self.calls).subtree(call)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page that shows the run: no network, and no script that it needs.

        The page holds the answers, the reviews and what tools were given and returned, but not the question.

        Args:
            path: Where it is written to, if given; what is there is replaced.

        Returns:
            The page.

        Raises:
            OSError: `path` cannot be written to.
        """
        made = renderer().page(self)
        if path is not None:
            Path(path).write_text(made, encoding="utf-8")
        return made

    def _repr_html_(self) -> str:
        """The run as a notebook shows it."""
        return renderer().fragment(self)
