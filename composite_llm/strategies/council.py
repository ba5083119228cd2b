"""Council: answers, anonymous peer review, a vote, and a chairman (after Karpathy's llm-council, 2025).

Beyond it: every reviewer sees the answers in an order of its own, does not vote for itself, and the vote is counted by a
named rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from composite_llm.backend.interface import Message, ModelFacts
from composite_llm.config.node import Node
from composite_llm.config.options import CouncilOptions
from composite_llm.config.plan import Plan
from composite_llm.engine.cost_bounds import QUOTE_TOKENS, Caps, WorstCase, total
from composite_llm.engine.scope import Scope
from composite_llm.engine.stage import run_stage
from composite_llm.engine.subcall_request import Answer, cut_off_in, numbered
from composite_llm.model.events import BallotsCounted
from composite_llm.model.messages import advisor_view, insert_after_last_user, with_system_block
from composite_llm.model.personas import PREFIX, ZERO_CONFIGURATION
from composite_llm.model.trace import Dissent, RankedAnswer, Ranking, ReviewRecord
from composite_llm.strategies.ballots import labels
from composite_llm.strategies.base import Deliberation, Prompt, Strategy
from composite_llm.strategies.fences import fence_code
from composite_llm.strategies.prompts import ballot_format, chairman_request, review_request
from composite_llm.strategies.reviews import Reader, ReadReview
from composite_llm.strategies.voting import Vote, dissent, kendall_w, rank, without_self


class Council(Strategy[CouncilOptions]):
    """Members answer; reviewers rank the answers under shuffled labels; the chairman writes the answer.

    `members + reviewers + 1` calls, 3 rounds.
    """

    final_stage: ClassVar[str] = "synthesize"
    stages = 3

    def __init__(self, plan: Plan, options: CouncilOptions, messages: Sequence[Message]) -> None:
        super().__init__(plan, options, messages)
        self.members = members_of(plan, options)
        self.reviewers = options.reviewers or self.members
        self.member_names = numbered([node.label for node in self.members])
        self.reviewer_names = numbered([node.label for node in self.reviewers])
        if options.members is None:
            self.notes = (f"Council of {len(self.members)} personas of {plan.final.model}",)

    @property
    def deliberating(self) -> Sequence[Node]:
        """The members."""
        return self.members

    async def deliberate(self, scope: Scope) -> Deliberation:
        """Answers, then reviews."""
        view = advisor_view(self.messages, self.tools)
        count, reviewed = self.afforded(scope, len(self.members))
        if not count:
            return Deliberation(scope.secret, (), ())
        prompts = [Prompt.of(view)] * count
        subcalls = self.subcalls(scope, "answer", "member", self.members[:count], prompts, self.member_names)
        answers = await run_stage(scope, subcalls, self.policy(3, len(subcalls)))
        ranking, reviews = await self._review(scope, view, answers, count) if reviewed else (None, {})
        names = [answer.name for answer in answers]
        best = names.index(ranking.order[0]) if ranking is not None else 0
        scope.recorder.ranking = ranking if scope.parent_id is None else scope.recorder.ranking
        return Deliberation(
            secret=scope.secret,
            names=tuple(names),
            answers=tuple(answer.text for answer in answers),
            reviews=reviews,
            ranking=ranking,
            best=best,
            cut_off=cut_off_in(answers),
        )

    def materials(self, deliberation: Deliberation) -> tuple[str, ...]:
        """Answers and reviews."""
        return (*deliberation.answers, *deliberation.reviews.values())

    def with_materials(self, deliberation: Deliberation, texts: Sequence[str]) -> Deliberation:
        """The deliberation with shorter answers and reviews."""
        count = len(deliberation.answers)
        reviews = dict(zip(deliberation.reviews, texts[count:], strict=True))
        return replace(deliberation, answers=tuple(texts[:count]), reviews=reviews)

    def worst_calls(
        self, facts: ModelFacts, members: int, *, extras: bool = True, added: int = 0
    ) -> list[tuple[str, WorstCase]]:
        """Answers and reviews as long as they may be, and the chairman reading all of them."""
        asked = self.members[:members]
        reviewers = self._reviewers_of(members) if extras and members > 1 else ()
        answers = added + self.longest_quotes(facts, asked)
        return [
            *(("answer", self.worst_node(facts, node, added)) for node in asked),
            *self._worst_of_rest(facts, reviewers, answers),
        ]

    def _worst_of_rest(self, facts: ModelFacts, reviewers: Sequence[Node], answers: int) -> list[tuple[str, WorstCase]]:
        """Reviews and the final call, of so many tokens of answers."""
        reviews = self.longest_quotes(facts, reviewers)
        return [
            *(("review", self.worst_node(facts, node, answers)) for node in reviewers),
            (self.final_stage, self.worst_final(facts, answers + reviews)),
        ]

    def _reviewers_of(self, members: int) -> Sequence[Node]:
        """Who reviews when so many members were asked: those who were, unless reviewers are named."""
        return self.reviewers if self.options.reviewers is not None else self.members[:members]

    def final_messages(self, deliberation: Deliberation) -> list[Message]:
        """The conversation with answers, reviews and vote."""
        if not deliberation.answers:
            return list(self.messages)
        common = labels(len(deliberation.answers))
        code = fence_code(deliberation.secret, self.final_stage, self.materials(deliberation))
        request = chairman_request(
            dict(zip(common, deliberation.answers, strict=True)),
            deliberation.reviews,
            deliberation.ranking,
            code,
            self.options.criteria,
            deliberation.cut_off,
        )
        if self.options.reference_placement == "system":
            return with_system_block(self.messages, request)
        return insert_after_last_user(self.messages, {"role": "user", "content": request})

    async def _review(
        self, scope: Scope, view: Sequence[Message], answers: Sequence[Answer], members: int
    ) -> tuple[Ranking | None, dict[str, str]]:
        if len(answers) < 2:
            scope.degrade("reviews_skipped", "there is only one answer", stage="review")
            return None, {}
        reviewers = self._reviewers_of(members)
        if not self._afforded_reviews(scope, reviewers, answers):
            return None, {}
        names = self.reviewer_names[: len(reviewers)]
        orders = [self._order_for(name, index, len(answers)) for index, name in enumerate(names)]
        prompts = [
            self._review_prompt(view, answers, order, scope.secret, name)
            for name, order in zip(names, orders, strict=True)
        ]
        answered = [answer.name for answer in answers]
        readers = [Reader(name, answered, order) for name, order in zip(names, orders, strict=True)]
        form = ballot_format(labels(len(answers)))
        subcalls = [
            replace(subcall, response_format=form, review=reader.record)
            for subcall, reader in zip(
                self.subcalls(scope, "review", "reviewer", reviewers, prompts, names), readers, strict=True
            )
        ]
        # The quorum counts answers: without a review there is no vote, and an answer all the same.
        replies = await run_stage(scope, subcalls, replace(self.policy(2, len(subcalls)), required=False))
        reviews = [readers[reply.index].read(reply.reply) for reply in replies]
        for review in reviews:
            if review.ballot.abstained:
                scope.degrade("review_abstained", stage="review", member=review.reviewer)
        self._note_order(scope, [reviewers[reply.index] for reply in replies], reviews)
        ranking = self._count(reviews, answered, {reader.reviewer: reader.labels for reader in readers})
        if ranking is not None:
            scope.emit(BallotsCounted(ranking))
        elif not replies:
            scope.degrade("no_ballot", "no review came", stage="review")
        elif any(len(self._vote(name, (), answered).eligible) > 1 for name in names):
            # Two members who do not vote for themselves have nothing to rank; that is no departure from the plan.
            scope.degrade("no_ballot", "no ballot could be counted", stage="review")
        return ranking, {f"reviewer {number}": review.material for number, review in enumerate(reviews, start=1)}

    def _note_order(self, scope: Scope, nodes: Sequence[Node], reviews: Sequence[ReadReview]) -> None:
        """Warn of models whose ballots, run after run, only repeat the order shown; one run tells too little."""
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

    def _afforded_reviews(self, scope: Scope, reviewers: Sequence[Node], answers: Sequence[Answer]) -> bool:
        """Whether the reviews and the final call still fit, now that the answers' length is known."""
        caps = Caps(scope.budget.calls_left, scope.budget.cost_left_usd)
        if caps.none:
            return True
        facts, model = scope.facts, self.plan.final.model
        quoted = [{"role": "user", "content": answer.text} for answer in answers]
        length = facts.count_tokens(model, quoted) + QUOTE_TOKENS * len(quoted)
        worst = total(worst for _, worst in self._worst_of_rest(facts, reviewers, length))
        if not caps.allow(worst):
            scope.degrade("budget_reduced", "no reviews, to stay under the run's caps", stage="review")
        return caps.allow(worst)

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
        label = self.reviewers[self.reviewer_names.index(reviewer)].label
        return frozenset(
            name for name, node in zip(self.member_names, self.members, strict=True) if node.label == label
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
