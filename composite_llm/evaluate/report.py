"""What a comparison found, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from composite_llm.evaluate.statistics import Interval
from composite_llm.model.documented import describe_fields

Kind = Literal["subject", "solo", "contestant", "member", "majority"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra=describe_fields)


class Share(_Record):
    """A share of 1 with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval | None) -> Share | None:
        """The same as data."""
        return None if interval is None else cls(value=interval.estimate, low=interval.low, high=interval.high)


class Row(_Record):
    """The figures of one contestant."""

    name: str
    kind: Kind
    questions: int
    """Answered ones; where each was asked several times, their mean counts."""
    right: float
    accuracy: Share | None
    cost_usd: float | None
    """For a question; None when a price is unknown."""
    seconds: float | None
    """Mean, for a question."""
    median_seconds: float | None
    tokens: float | None
    """Prompts and answers, for a question."""
    errors: int
    """Requests without an answer; they are neither right nor wrong."""
    unread: int
    """Answers in which nothing was found that could be right; they count as wrong."""
    noise_floor: float | None
    """By how much two passes differ by chance, 19 times in 20; None unless questions were asked twice."""


class Difference(_Record):
    """The subject against one other."""

    against: str
    questions: int
    """Those that both answered."""
    only_subject_right: int
    only_other_right: int
    difference: Share | None
    p: float
    """McNemar's exact test; with repeats the sign test of the questions' means."""
    p_adjusted: float
    """For all comparisons of the report together, by Holm."""
    questions_needed: int | None
    """To tell such a difference four times in five."""
    usd_per_point: float | None
    """What a further percentage point costs for a question; None where there is no gain, or no higher price."""
    distinguishable: bool
    verdict: str


class MemberWorth(_Record):
    """What one member adds."""

    name: str
    majority_points: float | None
    """By how many points the majority is better with it than without."""
    only_one_right: int
    """Questions that it alone answered rightly."""
    cost_usd: float | None
    """For a question."""


class Members(_Record):
    """What the members have to do with the subject's answers."""

    runs: int
    """In which the subject and a member answered."""
    agreement: float | None
    """How often two members gave the same answer."""
    correlation: float | None
    """Between two members' being right, mean of all pairs."""
    effective_votes: float | None
    """How many independent members these are worth."""
    anybody_right: int
    """Runs in which a member was right."""
    lost: int
    """Of them, those whose final answer was wrong."""
    lost_against_majority: int
    """Of those, the ones in which most members were right."""
    mended: int
    """Final answers that are right where most members were wrong."""
    mended_alone: int
    """Of them, those where no member was right."""
    ballots: int
    abstained: int
    positional: int
    """Runs in which a reviewer kept giving the order in which answers were shown."""
    degraded: dict[str, int]
    """Runs that departed from the configuration, by code."""
    worth: list[MemberWorth]


class Preference(_Record):
    """How often a judge preferred the subject to one other."""

    against: str
    pairs: int
    """With a verdict in both orders."""
    wins: int
    losses: int
    ties: int
    """Contradicting verdicts of the two orders among them."""
    win_rate: Share | None
    """Ties count half."""
    p: float
    """The exact sign test of wins and losses."""
    p_adjusted: float
    distinguishable: bool
    verdict: str


class Judging(_Record):
    """What was seen of the judge."""

    model: str
    verdicts: int
    unread: int
    """Replies without a verdict, and failures."""
    first_preferred: float | None
    """Of the verdicts that prefer one: how often the one shown first; 0.5 is no bias."""
    contradictions: int
    """Pairs in which the two orders preferred different answers."""
    cost_usd: float | None


class Report(_Record):
    """What a comparison found."""

    subject: str
    model: str
    questions: int
    repeat: int
    complete: bool
    """Whether everything was asked; if not, it was stopped or the cap was reached."""
    rows: list[Row]
    """The subject first."""
    differences: list[Difference]
    members: Members | None
    preferences: list[Preference] = []
    judging: Judging | None = None
    cost_usd: float | None
    """Of all answers in it; None when a price is unknown."""
    spent_usd: float
    """By the process that made the report; what was there already is not in it."""
    failures: dict[str, int]
    """Requests without an answer, by what went wrong."""
