"""Runs the stages of one deliberation: who is asked under the run's caps, how long is waited, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from composite_llm.backend.interface import Reply
from composite_llm.config.node import Node
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine.budget import Budget
from composite_llm.engine.cost_bounds import QUOTE_TOKENS, Caps, total_worst_case
from composite_llm.engine.scope import Scope
from composite_llm.engine.stage import StagePolicy, run_stage
from composite_llm.engine.subcall_request import Answer, Review, numbered
from composite_llm.model.trace import Ranking
from composite_llm.strategies.base import Strategy
from composite_llm.strategies.deliberation import Deliberation, StageAnswer, StageResult
from composite_llm.strategies.requests import Prompt, stage_requests
from composite_llm.strategies.worst_cases import Cast, cast_of, worst_calls, worst_case

_OF_AN_ANSWER = ("max_tokens", "max_completion_tokens", "stop")
"""Call parameters that belong to whoever writes what the caller is given."""
_CAPS = "to stay under the run's caps"


class StageRunner:
    """What a strategy asks its stages with.

    Args:
        strategy: Whose stages they are.
        scope: Of the run.
    """

    def __init__(self, strategy: Strategy[Any], scope: Scope) -> None:
        self.scope = scope
        self._strategy = strategy
        self._results: dict[str, StageResult] = {}
        self._spec = {stage.name: stage for stage in strategy.all_stages}
        self._cast = self._afforded()

    @property
    def secret(self) -> str:
        """What the codes of the run's fences are made with."""
        return self.scope.secret

    def nodes(self, stage: str) -> tuple[Node, ...]:
        """Who is asked in a stage; nobody in one that is left out."""
        return self._cast[stage]

    def names(self, stage: str) -> list[str]:
        """What those who are asked are called in the trace."""
        return numbered([node.label for node in self._spec[stage].nodes])[: len(self._cast[stage])]

    async def ask(
        self,
        stage: str,
        prompts: Prompt | Sequence[Prompt],
        *,
        response_format: Mapping[str, Any] | None = None,
        reviews: Sequence[Callable[[Reply], Review]] = (),
    ) -> list[Answer]:
        """Ask everybody in a stage at once.

        Args:
            stage: Its name; one in which nobody is asked has no answers.
            prompts: What each is shown, or one for all.
            response_format: Sent where a model takes it.
            reviews: For each, how its answer is read for the record.

        Returns:
            The usable answers, in configuration order, with the texts that others may be shown.

        Raises:
            QuorumNotMet: Too few answered usably, and the stage is not optional.
            BudgetExceeded: Too few could be asked under the run's caps, and the stage is not optional.
        """
        spec, nodes = self._spec[stage], self._cast[stage]
        if not nodes:
            return []
        each = [prompts] * len(nodes) if isinstance(prompts, Prompt) else prompts
        plan, facts = self._strategy.plan, self.scope.facts
        answers_user = self._strategy.options.aggregation != "synthesize" and not spec.optional
        more = {key: plan.params[key] for key in _OF_AN_ANSWER if key in plan.params} if answers_user else {}
        if answers_user and response_format is None:
            response_format = plan.params.get("response_format")
        subcalls = stage_requests(plan, facts, spec, nodes, self.names(stage), each, more)
        if response_format is not None:
            subcalls = [replace(subcall, response_format=response_format) for subcall in subcalls]
        if reviews:
            subcalls = [replace(subcall, review=review) for subcall, review in zip(subcalls, reviews, strict=True)]
        answers = await run_stage(self._scope_of(spec), subcalls, self._policy(spec, len(subcalls)))
        kept = [StageAnswer(answer.name, answer.text, answer.cut_off, self._shared(spec, answer)) for answer in answers]
        self.keep(stage, kept)
        return [replace(answer, text=given.shown) for answer, given in zip(answers, kept, strict=True)]

    def _shared(self, stage: StageSpec, answer: Answer) -> str | None:
        """What a member thought, where that is shown to others; what a reviewer thought is nobody's material."""
        if not self._strategy.options.share_reasoning or stage.optional:
            return None
        reasoning = answer.reply.message.get("reasoning_content")
        return reasoning if isinstance(reasoning, str) and reasoning.strip() else None

    def keep(self, stage: str, answers: Sequence[StageAnswer], **data: Any) -> None:
        """Put down what a stage came to, in the place of its answers as they were."""
        self._results[stage] = StageResult(stage, self._spec[stage].role, tuple(answers), data)

    def allows(self, stage: str) -> bool:
        """Whether an optional stage and all behind it still fit under the run's caps, now that earlier answers are known."""
        if not self._cast[stage]:
            return False
        caps = self._caps()
        if caps.none:
            return True
        read = self._read_before(stage)
        behind = [spec for name, spec in self._spec.items() if spec.expendable and name not in read and name != stage]
        for left_out in (*behind, self._spec[stage]):
            if caps.allow(worst_case(self._strategy, self.scope.facts, self._cast, read=read)):
                return True
            if self._cast[left_out.name]:
                self._leave_out(left_out)
                self._cast = {**self._cast, left_out.name: ()}
        return False

    def _read_before(self, stage: str) -> dict[str, int]:
        """Tokens of the answers of each stage before, quoted."""
        facts, model = self.scope.facts, self._strategy.plan.final.model
        read = dict.fromkeys(self._before(stage), 0)
        for name, result in self._results.items():
            quoted = [{"role": "user", "content": answer.shown} for answer in result.answers]
            read[name] = facts.count_tokens(model, quoted) + QUOTE_TOKENS * len(quoted)
        return read

    def _scope_of(self, stage: StageSpec) -> Scope:
        """Where a stage is asked: what is expendable leaves what the rest may need, however often it is tried again."""
        caps = self._caps()
        if not stage.expendable or caps.none:
            return self.scope
        read = self._read_before(stage.name)
        worst = worst_calls(self._strategy, self.scope.facts, self._cast, read=read)
        rest = total_worst_case(bound for name, bound in worst if name != stage.name)
        calls = None if caps.calls is None else max(caps.calls - rest.calls, 0)
        cost_usd = None if caps.cost_usd is None else max(caps.cost_usd - rest.cost_usd, 0.0)
        return replace(self.scope, budget=Budget(calls, cost_usd, self.scope.budget))

    def deliberation(
        self, candidates: str | None = None, *, best: int = 0, ranking: Ranking | None = None
    ) -> Deliberation:
        """What all stages came to.

        Args:
            candidates: The stage whose answers are answers to the user; the last that is not optional if not named.
            best: Index of the one to fall back on.
            ranking: The vote on them.
        """
        if ranking is not None and self.scope.parent_id is None:
            self.scope.recorder.ranking = ranking
        required = [name for name in self._results if not self._spec[name].optional]
        return Deliberation(
            secret=self.scope.secret,
            results=tuple(self._results.values()),
            candidates=candidates or (required[-1] if required else None),
            best=best,
            ranking=ranking,
        )

    def _policy(self, stage: StageSpec, size: int) -> StagePolicy:
        """When a stage of so many members ends."""
        options = self._strategy.options
        before = {*self._before(stage.name)}
        return StagePolicy(
            quorum=min(options.quorum, size),
            straggler_grace_s=options.straggler_grace_s,
            stage_timeout_s=options.stage_timeout_s,
            required=not stage.optional,
            stages_left=sum(bool(nodes) for name, nodes in self._cast.items() if name not in before),
        )

    def _before(self, stage: str) -> list[str]:
        names = list(self._spec)
        return names[: names.index(stage)]

    def _caps(self) -> Caps:
        return Caps(self.scope.budget.calls_left, self.scope.budget.cost_left_usd)

    def _afforded(self) -> Cast:
        """Who is asked under the run's caps.

        First without what is expendable, then fewer members, then without what is optional, then nobody.
        """
        strategy, caps = self._strategy, self._caps()
        if caps.none:
            return cast_of(strategy)
        members = len(strategy.members)
        fewest = min(strategy.options.quorum, members)
        if caps.allow(worst_case(strategy, self.scope.facts, whole := cast_of(strategy))):
            return whole
        expendable = [stage for stage in strategy.all_stages if stage.expendable]
        optional = [stage for stage in strategy.all_stages if stage.optional and not stage.expendable]
        for kept in range(len(optional), -1, -1):
            left_out = [*optional[kept:], *expendable]
            for count in range(members, fewest - 1, -1):
                cast = cast_of(strategy, count, [stage.name for stage in left_out])
                if caps.allow(worst_case(strategy, self.scope.facts, cast)):
                    self._tell_reduction(members, count, left_out)
                    return cast
        self.scope.degrade("budget_reduced", "the final model answers alone: no deliberation fits under the run's caps")
        return cast_of(strategy, 0)

    def _tell_reduction(self, members: int, count: int, left_out: Sequence[StageSpec]) -> None:
        if count < members:
            self.scope.degrade("budget_reduced", f"{count} of {members} members asked, {_CAPS}")
        whole = cast_of(self._strategy, count)
        for stage in left_out:
            if whole[stage.name]:
                self._leave_out(stage)

    def _leave_out(self, stage: StageSpec) -> None:
        self.scope.degrade("budget_reduced", f"no {stage.heading.lower()}, {_CAPS}", stage=stage.name)
