"""Council: answers, anonymous peer review, a vote, and a chairman (after Karpathy's llm-council, 2025).

Beyond it: every reviewer sees the answers in an order of its own, does not vote for itself, and the vote is counted by a
named rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from composite_llm.backend.interface import Message
from composite_llm.config.node import Node, NodeSettings
from composite_llm.config.options import Nodes, Options
from composite_llm.config.plan import Plan
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.subcall_request import Answer, numbered
from composite_llm.model.events import BallotsCounted
from composite_llm.model.personas import PREFIX, ZERO_CONFIGURATION
from composite_llm.model.trace import Dissent, RankedAnswer, Ranking, ReviewRecord
from composite_llm.strategies.ballots import labels
from composite_llm.strategies.base import Strategy
from composite_llm.strategies.deliberation import Deliberation, StageAnswer, cut_off_in
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import ballot_format, chairman_request, review_request
from composite_llm.strategies.requests import Prompt
from composite_llm.strategies.reviews import Reader, ReadReview
from composite_llm.strategies.runner import StageRunner
from composite_llm.strategies.voting import Vote, dissent, kendall_w, rank, without_self


class CouncilOptions(Options):
    """Council."""

    strategy: ClassVar[str] = "council"
    final_role: ClassVar[str] = "chairman"
    fewest_members: ClassVar[int] = 3
    """Two who review each other have one answer each to rank, so they cannot vote."""

    members: Nodes | None = None
    reviewers: Nodes | None = None
    chairman: NodeSettings | None = None
    exclude_self: bool = True
    ranking: Literal["borda", "mean_position", "copeland"] = "borda"
    criteria: str | None = None
    # A council has a winner besides.
    aggregation: Literal["synthesize", "pick", "vote"] = "synthesize"  # type: ignore[assignment]  # more than all know


class Council(Strategy[CouncilOptions]):
    """Members answer; reviewers rank the answers under shuffled labels; the chairman writes the answer.

    `members + reviewers + 1` calls, 3 rounds.
    """

    options_type = CouncilOptions
    title = "Council"

    def __init__(self, plan: Plan, options: CouncilOptions, messages: Sequence[Message]) -> None:
        super().__init__(plan, options, messages)
        self._members = members_of(plan, options)
        self._reviewers = options.reviewers or self._members
        self._member_names = numbered([node.label for node in self._members])
        self._reviewer_names = numbered([node.label for node in self._reviewers])
        if options.members is None:
            self.notes = (f"Council of {len(self._members)} personas of {plan.final.model}",)

    def declared_stages(self) -> Sequence[StageSpec]:
        """Answers, reviews unless there is only one answer, and the synthesis."""
        answer = StageSpec("answer", "member", self._members, "members", title="Answers")
        stages = [answer]
        if len(self._members) > 1:
            # Who answers reviews, unless others are named.
            option = "members" if self.options.reviewers is None else "reviewers"
            review = StageSpec(
                "review", "reviewer", self._reviewers, option, ("answer",), needs=2, optional=True, title="Reviews"
            )
            stages.append(review)
        return [*stages, self.final_spec("synthesize", reads=[stage.name for stage in stages], title="Synthesis")]

    async def deliberate(self, runner: StageRunner) -> Deliberation:
        """Answers, then reviews."""
        view = self.advisor_messages()
        answers = await runner.ask("answer", Prompt.of(view))
        ranking = await self._review(runner, view, answers) if answers else None
        names = [answer.name for answer in answers]
        best = names.index(ranking.order[0]) if ranking is not None else 0
        return runner.deliberation("answer", best=best, ranking=ranking)

    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The conversation with answers, reviews and vote."""
        answers, reviews = deliberation.answers, deliberation.given("review")
        if not answers:
            return list(self.messages)
        common = labels(len(answers))
        texts = deliberation.texts(self.final_stage.reads)
        request = chairman_request(
            dict(zip(common, (answer.text for answer in answers), strict=True)),
            {f"reviewer {number}": review.text for number, review in enumerate(reviews, start=1)},
            deliberation.ranking,
            fence_code(deliberation.secret, self.final_stage.name, texts),
            self.options.criteria,
            cut_off_in(answers),
        )
        return self.with_note(self.messages, request)

    async def _review(self, runner: StageRunner, view: Sequence[Message], answers: Sequence[Answer]) -> Ranking | None:
        scope = runner.scope
        if len(answers) < 2:
            scope.degrade("reviews_skipped", "there is only one answer", stage="review")
            return None
        if not runner.allows("review"):
            return None
        names = runner.names("review")
        orders = [self._order_for(name, index, len(answers)) for index, name in enumerate(names)]
        prompts = [
            self._review_prompt(view, answers, order, runner.secret, name)
            for name, order in zip(names, orders, strict=True)
        ]
        answered = [answer.name for answer in answers]
        readers = [Reader(name, answered, order) for name, order in zip(names, orders, strict=True)]
        replies = await runner.ask(
            "review",
            prompts,
            response_format=ballot_format(labels(len(answers))),
            reviews=[reader.record for reader in readers],
        )
        reviews = [readers[reply.index].read(reply.reply) for reply in replies]
        runner.keep("review", [StageAnswer(review.reviewer, review.material) for review in reviews])
        for review in reviews:
            if review.ballot.abstained:
                scope.degrade("review_abstained", stage="review", member=review.reviewer)
        nodes = runner.nodes("review")
        self._note_order(runner, [nodes[reply.index] for reply in replies], reviews)
        ranking = self._count(reviews, answered, {reader.reviewer: reader.labels for reader in readers})
        if ranking is not None:
            scope.emit(BallotsCounted(ranking))
        elif not replies:
            scope.degrade("no_ballot", "no review came", stage="review")
        elif any(len(self._vote(name, (), answered).eligible) > 1 for name in names):
            # Two members who do not vote for themselves have nothing to rank; that is no departure from the plan.
            scope.degrade("no_ballot", "no ballot could be counted", stage="review")
        return ranking

    def _note_order(self, runner: StageRunner, nodes: Sequence[Node], reviews: Sequence[ReadReview]) -> None:
        """Warn of models whose ballots, run after run, only repeat the order shown; one run tells too little."""
        scope = runner.scope
        of_model: dict[str, list[ReadReview]] = {}
        for node, review in zip(nodes, reviews, strict=True):
            if not review.ballot.abstained:
                of_model.setdefault(f"{node.model} at {node.params.get('api_base')}", []).append(review)
        for model, ballots in of_model.items():
            ranked = min(len(review.ballot.ranking) for review in ballots)
            if scope.positional_ballots.note(model, ranked, as_shown=all(review.as_shown for review in ballots)):
                for review in ballots:
                    scope.degrade(
                        "positional_ballot",
                        "only repeats the order in which it is shown the answers",
                        stage="review",
                        member=review.reviewer,
                    )

    def _order_for(self, reviewer: str, index: int, answers: int) -> list[int]:
        order = list(range(answers))
        self.shuffler(f"{reviewer}/{index}").shuffle(order)
        return order

    def _review_prompt(
        self, view: Sequence[Message], answers: Sequence[Answer], order: Sequence[int], secret: str, reviewer: str
    ) -> Prompt:
        shown = labels(len(order))
        cut_off = [at for at, place in enumerate(order) if answers[place].cut_off]

        def compose(texts: Sequence[str]) -> list[Message]:
            code = fence_code(secret, f"review/{reviewer}", texts)
            request = review_request(shown, texts, code, self.options.criteria, cut_off)
            return [*view, {"role": "user", "content": request}]

        return Prompt(compose, tuple(answers[place].text for place in order))

    def _vote(self, reviewer: str, ranking: Sequence[str], names: Sequence[str]) -> Vote:
        if not self.options.exclude_self:
            return Vote(reviewer, tuple(names), tuple(ranking))
        own = self._own_answers(reviewer)
        return without_self({reviewer: ranking}, names, {name: reviewer for name in names if name in own})[0]

    def _own_answers(self, reviewer: str) -> frozenset[str]:
        """The members a reviewer is: itself among the members, or all of its label where reviewers are named apart."""
        if self.options.reviewers is None:
            return frozenset({reviewer})
        label = self._reviewers[self._reviewer_names.index(reviewer)].label
        return frozenset(
            name for name, node in zip(self._member_names, self._members, strict=True) if node.label == label
        )

    def _count(
        self, reviews: Sequence[ReadReview], names: Sequence[str], labels_of: Mapping[str, Mapping[str, str]]
    ) -> Ranking | None:
        ballots = {review.reviewer: review.ranking for review in reviews if not review.ballot.abstained}
        votes = [self._vote(reviewer, ranking, names) for reviewer, ranking in ballots.items()]
        votes = [vote for vote in votes if vote.ranking]
        tally = rank(votes, names, self.options.ranking)
        if not tally.ballots_counted:
            return None
        label_of = dict(zip(names, labels(len(names)), strict=True))
        place = _places(tally.order, tally.ties)
        ranking_of = {vote.reviewer: vote.ranking for vote in votes}
        return Ranking(
            method=self.options.ranking,
            table=[
                RankedAnswer(
                    label=label_of[name],
                    name=name,
                    rank=place[name],
                    score=tally.scores[name],
                    mean_position=tally.mean_positions[name] or None,
                    first_places=tally.first_places[name],
                )
                for name in tally.order
            ],
            ballots=[
                ReviewRecord(
                    reviewer=review.reviewer,
                    ranking=list(ranking_of.get(review.reviewer, ())),
                    abstained=review.reviewer not in ranking_of,
                    problems=list(review.ballot.problems),
                    labels=dict(labels_of[review.reviewer]),
                    critiques=dict(review.critiques),
                )
                for review in reviews
            ],
            agreement=kendall_w(votes, names),
            dissent=[
                Dissent(
                    name=found.candidate,
                    label=label_of[found.candidate],
                    champions=list(found.champions),
                    rank=place[found.candidate],
                )
                for found in dissent(votes, tally.order)
            ],
        )


def _places(order: Sequence[str], ties: Sequence[Sequence[str]]) -> dict[str, int]:
    """Rank of each name from 1; tied ones share the best of theirs."""
    place = {name: index for index, name in enumerate(order, start=1)}
    for group in ties:
        shared = min(place[name] for name in group)
        place.update(dict.fromkeys(group, shared))
    return place


def members_of(plan: Plan, options: CouncilOptions) -> tuple[Node, ...]:
    """The members named, or three personas of the chairman's own model."""
    if options.members is not None:
        return options.members
    return tuple(
        plan.final.model_copy(update={"system": PREFIX + persona, "name": f"{plan.final.label} as {persona}"})
        for persona in ZERO_CONFIGURATION
    )
