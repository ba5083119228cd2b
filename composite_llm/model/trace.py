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
    """The model's name in the provider's answer, if it gave one."""
    endpoint: str | None = None
    """Host and port, where known."""
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
    """Whether the tokens were counted here, because the provider reported none."""
    nested: bool = False
    """Whether a composite answered; then the attempt has no usage of its own, and the composite's calls have theirs."""
    provider_message: str | None = None
    """The provider's own message about a failure, secrets masked, at most 500 characters. It may quote the prompt."""

    @property
    def without_usage(self) -> bool:
        """Whether it ended before its provider reported usage: its tokens count as 0, whatever is billed for them."""
        cut_off = self.status in ("timed_out", "abandoned", "cancelled")
        return cut_off and not self.usage.total_tokens and not self.nested

    @property
    @deprecated("use `without_usage`")
    def untold(self) -> bool:
        """The former name of `without_usage`; goes with release 0.2."""
        return self.without_usage


class Call(_Record):
    """One answer from one role, with all its attempts, fallbacks and hedges.

    `usage` and `cost_usd` are the sums of its own attempts.
    A nested composite has none of its own: its calls are entries of `Trace.calls` with its `id` as their `parent_id`.
    So the sums over `Trace.calls` are the sums of the run.
    """

    id: str
    parent_id: str | None = None
    stage: str
    title: str = ""
    """The stage's heading for people; blank where its strategy gave none."""
    role: str
    final: bool = False
    """Whether its answer is its run's, rather than what the final model was given."""
    name: str
    model: str
    """The model that answered, which may be a fallback."""
    start_s: float
    duration_s: float
    first_token_s: float | None = None
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    status: CallStatus
    error: str | None = None
    attempts: list[Attempt] = []
    composites: list[str] = []
    """Model strings of the composites that ran inside it, also behind a Router's model name."""
    content: str | None = None
    """The answer's text, None if there was none. A reviewer's text has the labels that it saw instead of names."""
    labels: dict[str, str] = {}
    """Of a reviewer: the author's name for each label, in the order in which it saw the answers."""
    critiques: dict[str, str] = {}
    """Of a reviewer: what it wrote about each answer, by the author's name, with names instead of labels."""

    @property
    def heading(self) -> str:
        """The heading of its stage."""
        return self.title or self.stage.capitalize()

    @property
    def cut_off(self) -> bool:
        """Whether a token limit ended the answer."""
        return self.status == "ok" and any(
            attempt.status == "ok" and attempt.finish_reason == "length" for attempt in self.attempts
        )


UNREADABLE_ARGUMENTS = "invalid_arguments"


class ToolCall(_Record):
    """One call of a tool that the run executed itself."""

    id: str
    """The id that the model gave to the call."""
    round: int
    name: str
    arguments: dict[str, Any] | str
    """The parsed arguments, or the raw text where the model did not send a valid JSON object."""
    result: str | None = None
    error: str | None = None
    error_class: str | None = None
    """Class name of the exception that the tool raised; `invalid_arguments` where they were not valid and it did not run."""
    start_s: float
    duration_s: float


class RankedAnswer(_Record):
    """One row of a council's table, best first."""

    label: str
    name: str
    rank: int
    """From 1; tied answers share a rank."""
    score: float
    """The score by the chosen method."""
    mean_position: float | None
    """Mean place over the ballots that could rank it, from 1; None without a ballot."""
    first_places: int


class Dissent(_Record):
    """An answer that some reviewers ranked first and the majority ranked low."""

    name: str
    label: str
    champions: list[str]
    """The reviewers who ranked it first."""
    rank: int
    """Its rank in the council's table."""


class ReviewRecord(_Record):
    """One reviewer's ballot, with names instead of labels."""

    reviewer: str
    ranking: list[str]
    """Names of the answers, best first, without the reviewer's own."""
    abstained: bool = False
    problems: list[str] = []
    labels: dict[str, str] = {}
    """The author's name for each label, in the order in which the reviewer saw the answers."""
    critiques: dict[str, str] = {}
    """What it wrote about each answer, by the author's name."""


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


class AnswerGroup(_Record):
    """Members whose answers say the same."""

    names: list[str]
    share: float
    """Of all answers that counted."""


class Aggregation(_Record):
    """Which member's answer is the run's, where no final model has written one."""

    rule: Literal["pick", "vote"]
    name: str
    """Whose answer it is."""
    groups: list[AnswerGroup] = []
    """Of a vote: who says the same, the largest group first."""


class Stance(_Record):
    """What one answer says on a topic."""

    label: str
    """Whose answer it is."""
    stance: str


class Contradiction(_Record):
    """A topic on which answers contradict each other."""

    topic: str
    stances: list[Stance]


class PartialCoverage(_Record):
    """A point that only some answers cover."""

    labels: list[str]
    """Whose answers they are."""
    point: str


class UniqueInsight(_Record):
    """What one answer alone has."""

    label: str
    """Whose answer it is."""
    insight: str


class Analysis(_Record):
    """How the answers compare, as a model sees it; members' names stand in the places of the labels that it was shown."""

    consensus: list[str] = []
    contradictions: list[Contradiction] = []
    partial_coverage: list[PartialCoverage] = []
    unique_insights: list[UniqueInsight] = []
    blind_spots: list[str] = []
    """What no answer deals with."""


class Trace(_Record):
    """One run from start to finish; `model_dump_json` round-trips."""

    id: str
    strategy: str
    strategy_title: str = ""
    """The strategy's name for people."""
    model: str
    """The composite model string that the caller used."""
    started_at: datetime
    """UTC."""
    duration_s: float
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    """US dollars of all attempts; None if the price of any is unknown."""
    degraded: list[Degradation] = []
    """Every departure from the configuration, each also a text of the form "code: …"; empty if there was none."""
    status: TraceStatus = "ok"
    """`degraded`: with an answer, but not as configured. `cancelled`: the caller was gone."""
    calls: list[Call] = []
    tool_calls: list[ToolCall] = []
    error: str | None = None
    error_class: str | None = None
    """Class name of the error that ended the run."""
    ranking: Ranking | None = None
    aggregation: Aggregation | None = None
    """Whose answer was taken as it was; None where a final model wrote the answer."""
    analysis: Analysis | None = None
    """How the answers compare, with the option `analysis`; None where there is none."""
    notes: list[str] = []
    """Remarks from before the run, such as that it samples its own model."""
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
        """As `status`, where `degraded` counts as `ok`."""
        return "ok" if self.status == "degraded" else self.status

    @property
    def degraded_codes(self) -> list[str]:
        """The codes in `degraded`, each once."""
        return list(dict.fromkeys(reason.code for reason in self.degraded))

    @property
    def attempts_without_usage(self) -> int:
        """How many attempts ended before their provider reported usage; unless 0, usage and cost are lower bounds."""
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
        """Render the run as one HTML page, which loads nothing from the network and works without scripts.

        The page holds answers, reviews, and arguments and results of tools, but not the question.

        Args:
            path: A file to write the page to; an existing one is replaced.

        Returns:
            The page.

        Raises:
            OSError: `path` cannot be written.
        """
        made = renderer().page(self)
        if path is not None:
            Path(path).write_text(made, encoding="utf-8")
        return made

    def _repr_html_(self) -> str:
        """The run as a notebook shows it."""
        return renderer().fragment(self)
