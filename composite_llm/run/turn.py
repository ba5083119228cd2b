"""Deliberations of earlier steps of the same user turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from composite_llm.backend.interface import Message
from composite_llm.backend.text_cache import TextCache
from composite_llm.config.parameters import CONNECTION, for_every_call
from composite_llm.config.plan import Plan
from composite_llm.engine.reuse import MAX_AGE_S, is_tool_step, turn_key
from composite_llm.engine.scope import Scope
from composite_llm.model.events import DeliberationReused
from composite_llm.strategies import Deliberation, StageRunner, Strategy
from composite_llm.strategies.analysis import analyzed


def _settings(plan: Plan) -> Mapping[str, Any]:
    return {
        "options": plan.options.model_dump(mode="json", exclude={"tool_executor"}, fallback=str),
        "final": plan.final.model_dump(mode="json", fallback=str),
    }


def request_key(plan: Plan, messages: Sequence[Message], owner: str) -> str:
    """The whole request of one caller, as a digest."""
    return turn_key(messages, {**_settings(plan), "params": dict(plan.params), "all": list(messages)}, owner)


class UserTurn:
    """One user turn, whose deliberation its tool steps share.

    Args:
        strategy: Deliberates when nothing is kept.
        messages: The conversation.
        store: Where deliberations are kept.
        owner: Whose it is; None to keep and find none.
    """

    def __init__(
        self, strategy: Strategy[Any], messages: Sequence[Message], store: TextCache, owner: str | None
    ) -> None:
        self._strategy = strategy
        self._messages = messages
        self._store = store
        self._owner = owner

    async def deliberation(self, scope: Scope) -> Deliberation:
        """The turn's deliberation: that of an earlier step if there is one, else a new one."""
        if self._strategy.stages[0].final:
            return Deliberation(scope.secret)
        return await self.earlier(scope) or await self.new(scope)

    async def earlier(self, scope: Scope) -> Deliberation | None:
        """That of an earlier step; None if there is none."""
        key = self._key()
        if key is None or not is_tool_step(self._messages):
            return None
        kept = await self._kept(key)
        return _used_again(scope, kept) if kept is not None else None

    async def new(self, scope: Scope) -> Deliberation:
        """A new one, kept for the steps that follow."""
        key = self._key()
        runner = StageRunner(self._strategy, scope)
        deliberation = await analyzed(self._strategy, runner, await self._strategy.deliberate(runner))
        if scope.recorder.degraded:
            deliberation = replace(deliberation, degraded=tuple(scope.recorder.degraded))
        if key is not None and deliberation.answers:
            await self._store.put(key, deliberation.to_json(), MAX_AGE_S)
        return deliberation

    async def _kept(self, key: str) -> Deliberation | None:
        text = await self._store.get(key)
        try:
            return Deliberation.from_json(text) if text is not None else None
        except ValueError:
            # Written by another version; a miss deliberates again.
            return None

    def _key(self) -> str | None:
        """Under what the deliberation is kept; None where no tool step can follow it."""
        plan = self._strategy.plan
        if self._owner is None or plan.options.fanout != "user_turn" or self._strategy.tools is None:
            return None
        # Endpoint and key too: in one process they may be different callers'.
        params = {key: value for key, value in plan.params.items() if key in CONNECTION}
        settings = {**_settings(plan), "params": {**params, **for_every_call(plan.params)}}
        return turn_key(self._messages, settings, self._owner)


def _used_again(scope: Scope, deliberation: Deliberation) -> Deliberation:
    for reason in deliberation.degraded:
        scope.degrade_as(reason)
    if scope.parent_id is None:
        scope.recorder.reused = True
        scope.emit(DeliberationReused())
        scope.recorder.ranking = deliberation.ranking
        scope.recorder.analysis = deliberation.analysis
    return deliberation
