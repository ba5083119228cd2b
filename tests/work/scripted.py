"""An executor that answers from a list, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm import ExecutionContext
from composite_llm.work import AllProvidersFailedError, Executor, LLMResponse


class ScriptedExecutor(Executor):
    """Answers in order; an exception among the answers is raised, a function is called with the messages."""

    def __init__(self, *answers: Any, cost_usd: float | None = 0.01, **settings: Any) -> None:
        super().__init__("scripted/model", **settings)
        self.answers = list(answers)
        self.asked: list[tuple[str, ExecutionContext]] = []
        self.given: list[dict[str, Any]] = []
        self.cost_usd = cost_usd

    async def chat(
        self, messages: Sequence[Mapping[str, Any]], context: ExecutionContext | None = None, **options: Any
    ) -> LLMResponse:
        """The next answer."""
        context = context or ExecutionContext()
        self.asked.append((str(messages[-1]["content"]), context))
        self.given.append(options)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(messages)
        if isinstance(answer, Exception):
            raise answer
        return LLMResponse(answer, "scripted/model", "scripted", context.tier_hint, 10, 5, self.cost_usd, 1.0)


NOBODY = AllProvidersFailedError([{"model": "scripted/model", "error": "no answer"}])
