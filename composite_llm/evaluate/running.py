"""Asks every contestant every question: at once, under one cap, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composite_llm.evaluate.asked import Asked
from composite_llm.evaluate.asking import RETRYABLE, ask
from composite_llm.evaluate.contestants import MAJORITY, MEMBERS, Contestant, models_of, others, plain, subject
from composite_llm.evaluate.journal import Journal
from composite_llm.evaluate.judging import Judged, judge_messages, winner_in
from composite_llm.evaluate.pace import Pace
from composite_llm.evaluate.purse import Purse
from composite_llm.evaluate.questions import Question, fingerprint, messages_of
from composite_llm.evaluate.scoring import Scoring
from composite_llm.evaluate.workers import do_all
from composite_llm.model.errors import InvalidOption

_TRIES = 3
"""Of a request that failed for a reason that may pass; a composite's own calls have been tried again by then."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a comparison will take.

    Attributes:
        requests: Answers and verdicts that are still wanted.
        calls: Model calls behind them, if none fails.
        worst_usd: If every answer is as long as its model allows; None when a price is unknown.
        done: Answers and verdicts that are there already.
    """

    requests: int
    calls: int
    worst_usd: float | None
    done: int


@dataclass(frozen=True, slots=True)
class _Asking:
    """One answer that is wanted."""

    key: str
    question: Question
    contestant: Contestant
    repeat: int


@dataclass(frozen=True, slots=True)
class _Judging:
    """One verdict that is wanted."""

    key: str
    question: Question
    repeat: int
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How contestants are compared.

    Attributes:
        against: `solo`, `members`, `majority`, names of profiles, and model strings.
        scoring: How answers are scored.
        repeat: How often each question is asked.
        judge: A model string; answers are then compared in pairs instead of scored.
        judge_may_compete: Whether the judge may be a model that competes.
        criteria: Told to the judge.
        max_parallel: Requests at once.
        max_cost_usd: US dollars at most, of all of it.
        results: The file that keeps answers, and from which those that are there are taken.
    """

    against: Sequence[str] = ("solo", MEMBERS, MAJORITY)
    scoring: Scoring = field(default_factory=Scoring)
    repeat: int = 1
    judge: str | None = None
    judge_may_compete: bool = False
    criteria: str | None = None
    max_parallel: int = 4
    max_cost_usd: float | None = None
    results: Path | None = None


class Bench:
    """One comparison.

    Args:
        questions: Everybody is asked each of them.
        model: A composite model string: the subject.
        options: Its options and call parameters.
        settings: How it is done.

    Attributes:
        contestants: Who is asked; the subject first.
        derived: Which of `members` and `majority` are read out of the subject's runs.
        asked: Answers by key.
        judged: Verdicts by key.
        spent_usd: On answers and verdicts of this process.
        finished: Whether there is nothing left to ask.

    Raises:
        CompositeError: Something of it cannot be used.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        model: str,
        options: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        _check_positive(self.settings)
        self.questions = list(questions)
        conversations = [self._messages(question) for question in self.questions]
        self._conversations = dict(zip((question.id for question in self.questions), conversations, strict=True))
        longest = max(conversations, key=lambda messages: len(str(messages)))
        of = subject(model, options or {}, longest)
        more, self.derived = others(self.settings.against, of, longest)
        self.contestants = [of, *more]
        self._judge = self._checked_judge(longest)
        self._check_cap(options or {})
        self._askings = list(self._all_askings())
        self._keys = {(job.contestant.name, job.question.id, job.repeat): job.key for job in self._askings}
        self.asked: dict[str, Asked] = {}
        self.judged: dict[str, Judged] = {}
        self._journal = Journal(self.settings.results) if self.settings.results is not None else None
        for entry in self._journal.entries() if self._journal is not None else ():
            self._recall(entry)
        self.purse = Purse(self.settings.max_cost_usd)
        self._pace = Pace(max_tries=_TRIES)
        self.finished = False

    @property
    def subject(self) -> Contestant:
        """The composite that it is all about."""
        return self.contestants[0]

    @property
    def spent_usd(self) -> float:
        """By this process."""
        return self.purse.spent_usd

    def price(self) -> Price:
        """What is left to do."""
        wanted = [job for job in self._askings if job.key not in self.asked]
        judgements = self._judgements_wanted()
        worsts = [job.contestant.worst_usd for job in wanted]
        if self._judge is not None and judgements:
            worsts += [self._judge.worst_usd] * judgements
        return Price(
            requests=len(wanted) + judgements,
            calls=sum(job.contestant.calls for job in wanted) + judgements,
            worst_usd=None if None in worsts else sum(worst or 0.0 for worst in worsts),
            done=len(self._in_use()) + len(self.judged),
        )

    async def run(self, on_change: Callable[[], object] = lambda: None, *, stop: asyncio.Event | None = None) -> bool:
        """Ask what has not been asked yet.

        Args:
            on_change: Called after each answer.
            stop: Once it is set nothing new is asked, and what is under way comes to its end.

        Returns:
            Whether everything has been asked; if not, the cap was reached or it was stopped.
        """
        if self._journal is not None:
            self._journal.open()
        try:
            asked = await self._all(self._askings, self._ask, on_change, stop)
            self.finished = asked and await self._all(self._judgings(), self._judge_one, on_change, stop)
        finally:
            if self._journal is not None:
                self._journal.close()
        return self.finished

    async def _all(
        self, jobs: Iterable[Any], do: Callable[[Any], Any], on_change: Callable[[], object], stop: asyncio.Event | None
    ) -> bool:
        async def one(job: Any) -> bool:
            done = bool(await do(job))
            on_change()
            return done

        wanted = [job for job in jobs if job.key not in self.asked and job.key not in self.judged]
        return await do_all(wanted, one, max_parallel=self.settings.max_parallel, stop=stop)

    async def _ask(self, job: _Asking) -> bool:
        contestant = job.contestant
        worst = contestant.worst_usd or 0.0
        if not await self.purse.set_aside(worst):
            return False
        messages = _with_persona(contestant.system, self._conversations[job.question.id])
        cost: float | None = worst
        try:
            options = {**_response_format(job.question), **contestant.options}
            reply = await self._pace.ask(lambda: ask(contestant.model, messages, options), contestant.calls)
            cost = reply.cost_usd
        finally:
            await self.purse.pay(worst, cost)
        answer = Asked.of(reply, key=job.key, question=job.question.id, contestant=contestant.name, repeat=job.repeat)
        self.asked[job.key] = answer
        self._keep("asked", answer.model_dump(mode="json"))
        return True

    async def _judge_one(self, job: _Judging) -> bool:
        assert self._judge is not None
        worst = self._judge.worst_usd or 0.0
        if not await self.purse.set_aside(worst):
            return False
        judge, texts = self._judge, self.texts(job.question.id, job.repeat)
        messages = judge_messages(job.question, texts[job.left], texts[job.right], self.settings.criteria)
        cost: float | None = worst
        try:
            reply = await self._pace.ask(lambda: ask(judge.model, messages, judge.options))
            cost = reply.cost_usd
        finally:
            await self.purse.pay(worst, cost)
        verdict = Judged(
            key=job.key,
            question=job.question.id,
            repeat=job.repeat,
            left=job.left,
            right=job.right,
            winner=winner_in(reply.text),
            error=reply.error,
            cost_usd=reply.cost_usd,
        )
        self.judged[job.key] = verdict
        self._keep("judged", verdict.model_dump(mode="json"))
        return True

    def _keep(self, kind: str, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.add({"kind": kind, **entry})

    def _recall(self, entry: dict[str, Any]) -> None:
        """An answer that is there already; one that failed for a reason that may have passed is asked for again."""
        if entry.get("kind") == "judged":
            verdict = Judged.model_validate(entry)
            if verdict.error is None:
                self.judged[verdict.key] = verdict
        elif entry.get("kind") == "asked":
            answer = Asked.model_validate(entry)
            if answer.error is None or answer.status_code not in RETRYABLE:
                self.asked[answer.key] = answer

    def _all_askings(self) -> Iterator[_Asking]:
        for repeat in range(self.settings.repeat):
            for question in self.questions:
                for contestant in self.contestants:
                    yield _Asking(self._key(question, contestant, repeat), question, contestant, repeat)

    def _key(self, question: Question, contestant: Contestant, repeat: int) -> str:
        options = {key: value for key, value in contestant.options.items() if key not in ("api_key", "headers")}
        asked = _with_persona(contestant.system, self._conversations[question.id])
        return fingerprint(question.id, asked, contestant.name, contestant.model, options, repeat)

    def _in_use(self) -> list[Asked]:
        """The answers that belong to this comparison; a file may hold others."""
        return [self.asked[job.key] for job in self._askings if job.key in self.asked]

    def answer(self, contestant: str, question: str, repeat: int = 0) -> Asked | None:
        """What somebody answered; None where that has not been asked yet."""
        return self.asked.get(self._keys[(contestant, question, repeat)])

    def texts(self, question: str, repeat: int) -> dict[str, str]:
        """Every usable answer to a question, by the contestant's name; members' too."""
        found: dict[str, str] = {}
        for contestant in self.contestants:
            one = self.answer(contestant.name, question, repeat)
            if one is not None and one.error is None:
                found[contestant.name] = one.text
            if one is not None and contestant is self.subject and MEMBERS in self.derived:
                found |= {member.name: member.text for member in one.members if member.text is not None}
        return found

    def _judgings(self) -> Iterator[_Judging]:
        if self._judge is None:
            return
        for repeat in range(self.settings.repeat):
            for question in self.questions:
                texts = self.texts(question.id, repeat)
                own = self.subject.name
                if own not in texts:
                    continue
                for other in texts:
                    if other != own:
                        for left, right in ((own, other), (other, own)):
                            shown = (left, texts[left], right, texts[right], repeat)
                            key = fingerprint(question.id, self._judge.model, self.settings.criteria, *shown)
                            yield _Judging(key, question, repeat, left, right)

    def _judgements_wanted(self) -> int:
        """Verdicts to come; before the answers are there, as many as there will be if none fails."""
        if self._judge is None:
            return 0
        members = len(models_of(self.subject, first_stage=True)) if MEMBERS in self.derived else 0
        pairs = len(self.contestants) - 1 + members
        return max(0, 2 * pairs * len(self.questions) * self.settings.repeat - len(self.judged))

    def _messages(self, question: Question) -> list[dict[str, Any]]:
        instruction = None if self.settings.judge else self.settings.scoring.of(question).instruction
        return messages_of(question, instruction)

    def _checked_judge(self, longest: Sequence[Mapping[str, Any]]) -> Contestant | None:
        judge = self.settings.judge
        if judge is None:
            return None
        if MAJORITY in self.derived:
            # Free texts have no majority.
            self.derived.remove(MAJORITY)
        competing = {model for contestant in self.contestants for model in models_of(contestant)}
        if judge in competing and not self.settings.judge_may_compete:
            allowed = "another model, or allow it to compete"
            raise InvalidOption("judge", f"{judge!r} competes itself", allowed=allowed, value=judge)
        return plain(judge, self.subject, longest)

    def _check_cap(self, options: Mapping[str, Any]) -> None:
        if self.settings.max_cost_usd is None or options.get("allow_unpriced"):
            return
        for contestant in (*self.contestants, *([self._judge] if self._judge is not None else [])):
            if contestant.worst_usd is None:
                raise InvalidOption(
                    "max_cost_usd",
                    f"{contestant.name!r} has no known price",
                    allowed="a known price, or allow_unpriced",
                )


def _check_positive(settings: Settings) -> None:
    for name in ("repeat", "max_parallel", "max_cost_usd"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise InvalidOption(name, f"got {value!r}", allowed="a number above 0", value=value)


def _with_persona(persona: str | None, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if persona is None:
        return messages
    head = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join([persona, *head])}, *rest]


def _response_format(question: Question) -> dict[str, Any]:
    if question.answer_schema is None:
        return {}
    schema = {"name": "answer", "schema": question.answer_schema}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
