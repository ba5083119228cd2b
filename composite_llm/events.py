"""What a run tells while it is under way; a stream shows it, a plain run ignores it."""

from __future__ import annotations

from dataclasses import dataclass

from composite_llm.trace import Call, Ranking, ToolCall
from composite_llm.usage import Usage


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan is made; nothing was spent yet. `notes` are lines worth saying at once."""

    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage's subcalls leave now."""

    stage: str
    names: tuple[str, ...]


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
class ToolsRun:
    """One round of tools was executed."""

    records: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Degraded:
    """A departure from the configuration."""

    reason: str


Event = RunStarted | StageStarted | CallDone | StageDone | BallotsCounted | ToolsRun | Degraded
