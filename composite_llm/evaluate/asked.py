"""What a contestant answered to a question, as it is kept."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from composite_llm.evaluate.asking import Reply
from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import total_cost


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class MemberAnswer(_Kept):
    """What one member of a composite answered by itself, before it saw anybody else's."""

    name: str
    text: str | None
    """None where it failed."""
    cost_usd: float | None
    seconds: float
    tokens: int = 0


class Asked(_Kept):
    """One answer to one question."""

    key: str
    """The same for the same question, contestant and repeat."""
    question: str
    contestant: str
    repeat: int = 0
    text: str = ""
    error: str | None = None
    error_class: str | None = None
    status_code: int = 200
    seconds: float = 0.0
    cost_usd: float | None = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 1
    members: list[MemberAnswer] = []
    ballots: int = 0
    """Reviews that were written."""
    abstained: int = 0
    """Reviews that ranked nobody."""
    degraded: list[str] = []
    """The codes, each once."""
    trace: dict[str, Any] | None = None
    """The whole run, for `replay`."""

    @classmethod
    def of(cls, reply: Reply, *, key: str, question: str, contestant: str, repeat: int) -> Asked:
        """What is kept of a reply."""
        trace = reply.trace
        ballots, abstained = _ballots(trace) if trace is not None else (0, 0)
        return cls(
            key=key,
            question=question,
            contestant=contestant,
            repeat=repeat,
            text=reply.text,
            error=reply.error,
            error_class=reply.error_class,
            status_code=reply.status_code,
            seconds=round(reply.seconds, 4),
            cost_usd=reply.cost_usd,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            calls=reply.calls,
            members=members_of(trace) if trace is not None else [],
            ballots=ballots,
            abstained=abstained,
            degraded=list(trace.degraded_codes) if trace is not None else [],
            trace=trace.model_dump(mode="json") if trace is not None else None,
        )


def _ballots(trace: Trace) -> tuple[int, int]:
    written = sum(call.role == "reviewer" and call.status == "ok" for call in trace.children(None))
    if trace.ranking is None:
        return written, written
    return written, sum(ballot.abstained for ballot in trace.ranking.ballots)


def members_of(trace: Trace) -> list[MemberAnswer]:
    """The answers of the first stage, in the order of the configuration."""
    own = list(trace.children(None))
    if len(own) < 2:
        return []
    return [_member(trace, call) for call in own if call.stage == own[0].stage]


def _member(trace: Trace, call: Call) -> MemberAnswer:
    below = list(trace.subtree(call))
    return MemberAnswer(
        name=call.name,
        text=call.content if call.status == "ok" else None,
        cost_usd=total_cost(one.cost_usd for one in below),
        seconds=call.duration_s,
        tokens=sum(one.usage.total_tokens for one in below),
    )
