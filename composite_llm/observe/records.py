"""What the telemetry store hands out: a run, a call, and sums of them. Data only."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from composite_llm.model.documented import describe_fields
from composite_llm.model.structured_text import Degradation
from composite_llm.model.trace import Attempt, Call
from composite_llm.model.usage import Usage

RunStatus = Literal["running", "ok", "failed", "cancelled", "lost"]
"""`lost`: it was under way when its process died."""

CostGroup = Literal["model", "provider", "profile", "day", "key"]
UsageGroup = Literal["backend", "session", "project", "all"]


class Origin(BaseModel):
    """Where a run came from, as its request's metadata says; see `composite_llm.ExecutionContext`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=describe_fields)

    user: str | None = None
    workflow: str | None = None
    step: str | None = None
    task_type: str | None = None
    session: str | None = None
    project: str | None = None
    tags: list[str] = []


class RunRecord(Origin):
    """One run, finished or not."""

    id: str
    status: RunStatus
    strategy: str
    model: str
    """The composite model string that the caller used."""
    profile: str | None = None
    """The profile, if the model string names one."""
    started_at: datetime
    """UTC."""
    duration_s: float
    """Of a run under way: until now; of a lost one: as long as it was heard of."""
    streamed: bool = False
    error: str | None = None
    degraded: list[Degradation] = []
    usage: Usage = Usage()
    """Of a run that has not ended: of the calls that are done."""
    cost_usd: float | None = 0.0
    """US dollars; None as soon as one price is unknown."""
    known_cost_usd: float = 0.0
    """The part of the cost whose prices are known."""
    calls: int = 0
    failed_calls: int = 0
    """Calls that gave no answer, those that were abandoned or cancelled included."""
    attempts: int = 0
    key: str | None = None
    """Who paid: on the proxy the hash of the key."""
    trace_id: str | None = None
    """LiteLLM's trace id."""
    question: str | None = None
    """The last user message's text, as far as the privacy mode keeps it."""
    privacy: Literal["metadata", "preview", "full"] = "metadata"
    """How much of prompts and answers was kept."""


class CallRecord(Origin, Call):
    """One call of a run: the trace's own entry, and where its run came from."""

    run_id: str
    run_model: str
    """The composite model string of its run."""
    provider: str | None = None


class AttemptRecord(Attempt):
    """One attempt: the trace's own entry, and which call it belongs to."""

    run_id: str
    call_id: str
    number: int
    """From 1, within its call."""
    provider: str | None = None


class Sums(BaseModel):
    """What a group of runs consumed, over all attempts."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=describe_fields)

    group: str | None
    """The group's value; None for what has none, as runs without a session."""
    runs: int | None = None
    """None where a run can belong to several groups, as to several models."""
    calls: int = 0
    attempts: int = 0
    failed: int = 0
    """Attempts that gave no answer, those that were abandoned or cancelled included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced: int = 0
    """Attempts whose price is unknown."""
    known_cost_usd: float = 0.0

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None as soon as one price is unknown."""
        return None if self.unpriced else self.known_cost_usd


class Pruned(BaseModel):
    """What `prune` removed."""

    runs: int
    bytes_before: int
    bytes_after: int
