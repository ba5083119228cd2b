"""What an attempt was in its call: the first try, a retry, a fallback or a hedge. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from composite_llm.model.trace import Attempt, Call, CallStatus

Kind = Literal["first", "retry", "fallback", "hedge"]

KIND_MARKS: dict[Kind, str] = {
    "first": "\N{BULLET}",
    "retry": "\N{CLOCKWISE OPEN CIRCLE ARROW}",
    "fallback": "\N{RIGHTWARDS ARROW}",
    "hedge": "\N{RIGHTWARDS PAIRED ARROWS}",
}

STATUS_WORDS: dict[CallStatus, str] = {
    "ok": "ok",
    "failed": "failed",
    "timed_out": "timed out",
    "abandoned": "abandoned",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class ClassifiedAttempt:
    """One attempt with its part in the call."""

    attempt: Attempt
    kind: Kind


def classified_attempts(call: Call) -> list[ClassifiedAttempt]:
    """The attempts of a call, in the order in which they left."""
    return [ClassifiedAttempt(attempt, _kind(call.attempts, index)) for index, attempt in enumerate(call.attempts)]


def eventful(call: Call) -> bool:
    """Whether there is more to tell of a call's attempts than that the only one answered."""
    return len(call.attempts) > 1 or any(attempt.status != "ok" for attempt in call.attempts)


def _kind(attempts: Sequence[Attempt], index: int) -> Kind:
    if index == 0:
        return "first"
    before, attempt = attempts[index - 1], attempts[index]
    step = None if before.next_step is None else before.next_step.kind
    if step == "hedge":
        return "hedge"
    if before.model != attempt.model or step == "give_up":
        return "fallback"
    return "retry"
