"""What a run tells while it is under way; a stream shows it, a plain run ignores it."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Aggregation, Analysis, Call, Ranking, ToolCall
from composite_llm.model.usage import Usage


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan is made; nothing was spent yet. `notes` are lines worth saying at once."""

    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Noted:
    """Lines worth knowing that are no departure from the configuration."""

    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeliberationReused:
    """No stage follows: the answers of an earlier step of the same user turn are used again."""


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage's subcalls leave now; `title` is its heading, where its strategy has one."""

    stage: str
    names: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """One try of a call leaves now; between `StageStarted` and this a call waits for its turn, or for a retry.

    Attributes:
        call_id: The call's `id` in the trace.
        stage: Its stage.
        name: Its name in that stage.
        model: The model that is asked: a fallback's, if it has come to that.
        number: Counts the call's attempts, from 1.
    """

    call_id: str
    stage: str
    name: str
    model: str
    number: int


@dataclass(frozen=True, slots=True)
class CallDone:
    """A member of a stage has answered, failed or was given up. `spent` and `cost_usd` include what ran below it."""

    call: Call
    spent: Usage
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage is over: what the run has spent until now."""

    stage: str
    usage: Usage
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class BallotsCounted:
    """The council's vote."""

    ranking: Ranking


@dataclass(frozen=True, slots=True)
class AnswersAnalyzed:
    """The answers were compared for the final model."""

    analysis: Analysis


@dataclass(frozen=True, slots=True)
class AnswerChosen:
    """A member's answer is the run's."""

    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class ToolsRun:
    """One round of tools was executed."""

    records: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Degraded:
    """A departure from the configuration."""

    reason: Degradation


Event = (
    RunStarted
    | Noted
    | DeliberationReused
    | StageStarted
    | AttemptStarted
    | CallDone
    | StageDone
    | BallotsCounted
    | AnswersAnalyzed
    | AnswerChosen
    | ToolsRun
    | Degraded
)
